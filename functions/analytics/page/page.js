// Signing in, what is asked when, and the controls.

const LIVE_EVERY = 5e3;
// Forecasts and unusual hours read weeks, and change slowly.
const SLOW_EVERY = 60e3;

let admin = false;
let usersShown = [];
let usersNext = null;
let timer = 0;
// Answers of a view that is left are dropped.
let view = 0;

const isAdmin = () => admin;
// Whose data is shown; null for everybody's.
const shownUser = () => (isAdmin() ? state.user : caller.email || 'you');

function showNotice(message) {
  $('notice').textContent = message;
  $('notice').hidden = !message;
}

function show() {
  const isIn = Boolean(token);
  $('sign-in').hidden = isIn;
  $('panels').hidden = !isIn;
  $('controls').hidden = !isIn;
  $('whose').textContent = isIn ? `· ${shownUser() || 'everybody'}` : '';
  $('back').hidden = !(isAdmin() && state.user);
  $('users').hidden = !(isAdmin() && !state.user);
  $('period').hidden = !shownUser();
  // The last minutes of another user are not asked for: what is known of all time stands there.
  const isOther = Boolean(isAdmin() && state.user);
  $('now-title').textContent = isOther ? 'All time' : 'Last five minutes';
  $('minutes').hidden = isOther;
  $('range').querySelector('[value=custom]').hidden = !state.from;
  $('range').value = state.from ? 'custom' : state.range;
  const choices = ['auto', ...Object.keys(LENGTHS).filter(isPossible)];
  $('granularity').replaceChildren(...choices.map((name) => element('option', { value: name }, name === 'auto' ? `${granularity()} (auto)` : name)));
  $('granularity').value = choices.includes(state.granularity) ? state.granularity : 'auto';
  if (document.activeElement !== $('timezone')) $('timezone').value = state.timezone;
  $('live').checked = state.live;
  showGroups();
  $('users-sort').value = state.sort;
  if (document.activeElement !== $('users-search')) $('users-search').value = state.search;
}

const slow = { of: undefined, until: 0, answers: null };

// The forecast and what is unusual, asked for again when they are old or of somebody else.
function slowAnswers(isSomebody, email) {
  const of = `${isSomebody} ${email}`;
  if (slow.of !== of || Date.now() > slow.until) {
    Object.assign(slow, { of, until: Date.now() + SLOW_EVERY });
    slow.answers = Promise.all([isSomebody ? json('forecast', { email }) : null, json('anomalies', { email })]);
    slow.answers.catch(() => { slow.until = 0; });
  }
  return slow.answers;
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++view;
  try {
    const now = await json('realtime');
    if (mine !== view) return;
    admin = 'topUsers' in now;
    show();
    const email = isAdmin() ? state.user : null;
    const isSomebody = Boolean(shownUser());
    const [series, list, stats, users, [forecast, anomalies]] = await Promise.all([
      json('timeseries', seriesAsked()),
      json('endpoints', span()),
      isSomebody ? json('user-stats', { email }) : null,
      isAdmin() && !state.user ? json('users', usersAsked({ limit: Math.max(100, usersShown.length) })) : null,
      slowAnswers(isSomebody, email),
    ]);
    if (mine !== view) return;
    showNotice('');
    showNow(now);
    showSeries(series);
    showSpan(list);
    showUnusual(anomalies);
    if (stats) showPeriod(stats, forecast);
    if (stats && email) showAllTime(stats);
    showCalls(stats);
    if (users) showUsers(users, false);
    $('as-of').textContent = `Complete up to ${clockSeconds(series.asOf)} (${state.timezone}).`;
    document.body.dataset.asOf = series.asOf;
    refreshKeys(false);
    refreshBlocks(false);
  } catch (error) {
    if (mine === view) fails(error);
  }
  if (token && mine === view && state.live && !document.hidden) timer = setTimeout(refresh, LIVE_EVERY);
}

function fails(error) {
  if (error.status === 401) {
    signOut();
    showNotice(`Signed out: ${error.message}.`);
  } else if (error.parameter) {
    showNotice(`This view cannot be shown: ${error.message}.`);
  } else {
    showNotice(`The numbers could not be read: ${error.message}. Trying again.`);
  }
}

function usersAsked(more = {}) {
  return { sort: state.sort, search: state.search, ...more };
}

function signIn(given) {
  token = given.trim().replace(/^Bearer\s+/i, '');
  caller = callerOf(token);
  $('token').value = '';
  showNotice('');
  show();
  refresh();
}

function signOut() {
  token = null;
  admin = false;
  usersShown = [];
  slow.of = undefined;
  forgetKeys();
  forgetBlocks();
  view += 1;
  clearTimeout(timer);
  // Nothing of what a caller saw stays behind for the next one.
  for (const shown of document.querySelectorAll('#panels table, #tiles')) shown.replaceChildren();
  show();
  $(issuer ? 'go-to-issuer' : 'token').focus();
}

function changed() {
  writeAddress();
  show();
  refresh();
}

function showUser(email) {
  state.user = email;
  changed();
  scrollTo(0, 0);
}

function wire() {
  // The page answers without a slash at its end, too.
  $('description').href = new URL('openapi.json', BASE);
  const on = (id, event, act) => $(id).addEventListener(event, act);
  const save = (path, parameters, name) => download(path, parameters, name).catch(fails);
  on('token-form', 'submit', (event) => {
    event.preventDefault();
    signIn($('token').value);
  });
  on('go-to-issuer', 'click', () => goToIssuer().catch(fails));
  for (const id of ['controls', 'users-form']) on(id, 'submit', (event) => event.preventDefault());
  on('range', 'change', () => {
    Object.assign(state, { range: $('range').value, from: null, to: null });
    changed();
  });
  on('granularity', 'change', () => {
    state.granularity = $('granularity').value;
    changed();
  });
  on('timezone', 'change', () => {
    const name = $('timezone').value.trim();
    if (!isZone(name || undefined)) {
      showNotice(`“${name}” is not a time zone, such as Europe/Berlin.`);
      return;
    }
    state.timezone = name || zoneOfBrowser();
    changed();
  });
  on('group', 'change', () => {
    state.group = $('group').value;
    changed();
  });
  on('live', 'change', () => {
    state.live = $('live').checked;
    changed();
  });
  on('users-sort', 'change', () => {
    state.sort = $('users-sort').value;
    usersShown = [];
    changed();
  });
  let typing = 0;
  on('users-search', 'input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      state.search = $('users-search').value.trim();
      usersShown = [];
      changed();
    }, 250);
  });
  on('users-more', 'click', async () => {
    try {
      showUsers(await json('users', usersAsked({ cursor: usersNext })), true);
    } catch (error) {
      fails(error);
    }
  });
  on('back', 'click', () => showUser(null));
  on('sign-out', 'click', signOut);
  on('series-csv', 'click', () => save('timeseries', seriesAsked(), 'calls-over-time.csv'));
  on('endpoints-csv', 'click', () => save('endpoints', { ...span(), limit: 1000 }, 'endpoints.csv'));
  on('users-csv', 'click', () => save('users', usersAsked({ limit: 1000 }), 'users.csv'));
  addEventListener('hashchange', () => {
    readAddress();
    show();
    if (token) refresh();
  });
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && token && state.live) refresh();
  });
  wireKeys();
  wireBlocks();
  let resizing = 0;
  addEventListener('resize', () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => token && refresh(), 200);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => token && refresh());
  const zones = Intl.supportedValuesOf ? Intl.supportedValuesOf('timeZone') : [];
  $('timezones').replaceChildren(...['UTC', ...zones].map((name) => element('option', { value: name })));
}

// The issuer's answer, if it has just sent the browser back; else what the address holds.
async function begin() {
  const back = takeAnswer();
  readAddress();
  wire();
  show();
  if (back) {
    await tokenFor(back).then(signIn, (error) => showNotice(`Not signed in: ${error.message}.`));
  } else if (token) {
    refresh();
  }
  if (!token) $(issuer ? 'go-to-issuer' : 'token').focus();
}

$('at-issuer').hidden = !issuer;
if (issuer) $('token-label').textContent = 'Or a bearer token';
begin();
