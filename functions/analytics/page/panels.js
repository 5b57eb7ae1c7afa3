// The panels, each filled from one answer.

let suspects = [];

function showSeries(series) {
  const lines = linesOf(series);
  draw(series, lines);
  const columns = [
    ['from', '', (point) => moment(point.start)],
    ...lines.map(([label, value]) => [label, 'count', (point) => count(value(point))]),
  ];
  const isKnown = series.points.some((point) => point.activeUsers !== null);
  if (isKnown && !shownUser() && !group()) columns.push(['users', 'count', (point) => (point.activeUsers === null ? '–' : count(point.activeUsers))]);
  fill($('series-table'), 'Calls over time', columns, [...series.points].reverse(), 'no calls');
}

function showSpan(list) {
  const { totalCalls, authFailures, rateLimited, statuses, latency } = list;
  const known = statuses.reduce((all, status) => all + status.count, 0);
  const errors = statuses.filter(({ status }) => status >= 500).reduce((all, status) => all + status.count, 0);
  const tile = (id, name, value, of = '') => element('div', { class: `tile ${of}`, id }, element('p', {}, name), element('strong', {}, value));
  $('tiles').replaceChildren(
    tile('total-calls', 'Accepted calls', count(totalCalls)),
    tile('auth-failures', 'Without a usable key', count(authFailures), authFailures ? 'bad' : ''),
    tile('rate-limited', 'Over the plan', count(rateLimited), rateLimited ? 'warn' : ''),
    tile('error-rate', 'Answered with 5xx', percent(errors, known), errors ? 'bad' : ''),
    tile('p95', 'Latency, 95 % within', millis(latency.p95)),
  );
  const most = list.endpoints.length ? list.endpoints[0].totalCalls : 0;
  fill($('endpoints-table'), 'Top endpoints', [
    ['endpoint', '', (row) => path(row.endpoint)],
    ['calls', 'count', (row) => count(row.totalCalls)],
    [unseen('share as a bar'), 'share', (row) => bar(row.totalCalls, most)],
    ['share', 'count', (row) => percent(row.totalCalls, totalCalls)],
  ], list.endpoints, 'no accepted call in this range');
  numbers($('latency'), [['half within', millis(latency.p50)], ['95 %', millis(latency.p95)], ['99 %', millis(latency.p99)]]);
  fill($('statuses-table'), 'Calls by status', [
    ['status', '', ({ status }) => String(status)],
    ['calls', 'count', (row) => count(row.count)],
    [unseen('share as a bar'), 'share', (row) => bar(row.count, known, row.status >= 500 ? 'bad' : row.status >= 400 ? 'warn' : 'good')],
    ['share', 'count', (row) => percent(row.count, known)],
  ], statuses, 'not told by the access log yet');
}

// What the period comes to, in words.
function ahead({ projected, exhausts, confidencePercent }) {
  if (!projected) return 'Not enough history for a forecast yet.';
  const range = `${count(projected.calls)} calls by its end, with ${confidencePercent} % confidence between ${count(projected.low)} and ${count(projected.high)}.`;
  if (!exhausts.earliest) return `Projected: ${range} The quota lasts.`;
  const runsOut = exhausts.expected ? `runs out on ${moment(exhausts.expected)}` : 'may run out';
  const latest = exhausts.latest ? `and on ${moment(exhausts.latest)} at the latest` : 'or not at all';
  return `Projected: ${range} The quota ${runsOut}, on ${moment(exhausts.earliest)} at the earliest ${latest}.`;
}

function showPeriod(stats, forecast) {
  const { start, end, calls, units, quota, remaining } = stats.currentPeriod;
  const body = $('period-body');
  const span = `${day(start)} to ${day(Date.parse(end) - 1)}`;
  if (quota === null) {
    body.replaceChildren(element('p', {}, element('strong', { id: 'period-calls' }, count(calls)), ' calls; no quota'), element('p', { class: 'hint' }, `${span}. ${ahead(forecast)}`));
    return;
  }
  const used = units / quota;
  const meter = bar(units, quota, `big ${used >= 1 ? 'bad' : used >= 0.8 ? 'warn' : ''}`);
  const outlook = remaining === 0 ? 'The quota is used up.' : ahead(forecast);
  body.replaceChildren(
    element('p', {}, element('strong', { id: 'period-calls' }, count(calls)), units === calls ? ` of ${count(quota)} calls ` : ` calls: ${count(units)} of ${count(quota)} units `, `(${percent(units, quota)}), `, element('span', { id: 'period-remaining' }, count(remaining)), ' left'),
    meter,
    element('p', { class: 'hint' }, `${span}. ${outlook}`),
    alertsOf(stats.alerts),
  );
}

// The thresholds of the quota that were announced.
function alertsOf(alerts) {
  if (!alerts.length) return element('p', { class: 'hint', id: 'alerts' }, 'No alert in this period.');
  const lines = alerts.map(({ percent, used, quota, at }) => element('li', {}, element('strong', {}, `${percent} %`), ` of the quota on ${moment(at)}: ${count(used)} of ${count(quota)} units`));
  return element('div', { id: 'alerts' }, element('h3', {}, 'Alerts in this period'), element('ul', {}, ...lines));
}

const UNUSUAL = { spike: 'more calls than usual', silence: 'fewer calls than usual', refusals: 'more refused calls than usual', newEndpoint: 'a new endpoint' };

function showUnusual(list) {
  fill($('unusual-table'), 'What is unusual', [
    ['hour', '', (row) => moment(row.start)],
    ['what', '', (row) => (row.endpoint ? element('span', {}, `${UNUSUAL[row.kind]}: `, path(row.endpoint)) : UNUSUAL[row.kind])],
    ['calls', 'count', (row) => count(row.observed)],
    ['usual', 'count', (row) => (row.low === null ? '–' : `${count(row.low)} to ${count(row.high)}`)],
  ], [...list.anomalies].reverse(), 'nothing: every hour is as usual, or has no past to compare with');
}

function showAllTime(stats) {
  numbers($('now-numbers'), [
    ['all time', count(stats.totalCalls)],
    ['first call', moment(stats.firstSeen)],
    ['last call', moment(stats.lastSeen)],
  ]);
}

function showNow(now) {
  numbers($('now-numbers'), [
    ['accepted', count(now.totalCalls)],
    ['no usable key', count(now.authFailures)],
    ['over the plan', count(now.rateLimited)],
    ['active this hour', count(now.activeUsers)],
  ]);
  showMinutes(now.callsPerMinute);
  const lists = isAdmin() && !state.user;
  $('top-users').hidden = !lists;
  $('suspects').hidden = !lists;
  if (!lists) return;
  fill($('top-users-table'), 'Busiest users', [
    ['user', '', (row) => userLink(row.email)],
    ['calls', 'count', (row) => count(row.totalCalls)],
  ], now.topUsers, 'nobody called');
  suspects = now.suspiciousIps;
  drawSuspects();
}

function drawSuspects() {
  // A table that is drawn again loses the focus.
  if ($('suspects').contains(document.activeElement)) return;
  fill($('suspects-table'), 'Suspicious addresses', [
    ['address', '', (row) => row.ip],
    ['no usable key', 'count', (row) => count(row.authFailures)],
    ['over the plan', 'count', (row) => count(row.rateLimited)],
    ['keys tried', 'count', (row) => count(row.distinctKeys)],
    ['last', 'count', (row) => clockSeconds(row.lastSeen)],
    [unseen('actions'), 'acts', (row) => blockButton(row.ip)],
  ], suspects, 'none: no address failed five times');
}

function showMinutes(minutes) {
  const most = Math.max(1, ...minutes.map((minute) => minute.totalCalls));
  $('minutes').replaceChildren(...minutes.map((minute) => {
    const column = element('i', { 'aria-hidden': 'true' });
    column.style.height = `${70 * minute.totalCalls / most}px`;
    return element('div', {}, element('span', {}, count(minute.totalCalls)), column, element('span', {}, clock(minute.start)));
  }));
}

function userLink(email) {
  return element('button', { type: 'button', class: 'link', onclick: () => showUser(email) }, email);
}

function showUsers(list, isMore) {
  usersShown = isMore ? [...usersShown, ...list.users] : list.users;
  usersNext = list.next;
  $('users-more').hidden = !list.next;
  $('users-span').textContent = `${count(list.totalUsers)} with an accepted call since ${moment(list.from)}.`;
  const most = Math.max(0, ...usersShown.map((user) => user.totalCalls));
  fill($('users-table'), 'Users', [
    ['user', '', (row) => userLink(row.email)],
    ['calls', 'count', (row) => count(row.totalCalls)],
    [unseen('share as a bar'), 'share', (row) => bar(row.totalCalls, most)],
    ['last call', 'count', (row) => moment(row.lastSeen)],
  ], usersShown, 'nobody');
}
