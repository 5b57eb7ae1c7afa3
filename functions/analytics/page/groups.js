// The groups of the chart: by what calls are split up, and the lines that show them.

const MOST_GROUPS = 7;
const GROUPS = { endpoint: 'endpoint', method: 'method', status: 'status', type: 'type', key: 'key' };
const DIMENSIONS = document.getElementById('group').dataset.dimensions.split(' ').filter(Boolean);

// Calls are counted by key for each user, not for everybody.
const isGroup = (name) => DIMENSIONS.includes(name) || (name in GROUPS && (name !== 'key' || Boolean(shownUser())));
const group = () => (isGroup(state.group) ? state.group : null);

function showGroups() {
  const names = ['', ...Object.keys(GROUPS).filter(isGroup), ...DIMENSIONS];
  const words = (name) => (name ? GROUPS[name] || `${name} (dimension)` : 'outcome');
  $('group').replaceChildren(...names.map((name) => element('option', { value: name }, words(name))));
  $('group').value = group() || '';
}

// The parameters of the series that is shown.
const seriesAsked = () => (group() ? { ...span(), groupBy: group() } : span());

// The lines of a series: `[label, value of a point, colour]`. Of many groups those with most calls
// have lines of their own.
function linesOf(series) {
  if (!group()) return LINES.map(([label, member, colour]) => [label, (point) => point[member], colour]);
  const sums = new Map();
  for (const { groups } of series.points) {
    for (const { key, totalCalls } of groups) sums.set(key, (sums.get(key) || 0) + totalCalls);
  }
  const ranked = [...sums].filter(([, calls]) => calls).sort(([one, calls], [other, than]) => than - calls || (one < other ? -1 : 1)).map(([key]) => key);
  const shown = ranked.slice(0, ranked.length > MOST_GROUPS + 1 ? MOST_GROUPS : MOST_GROUPS + 1);
  const value = (key) => (point) => point.groups.find((one) => one.key === key)?.totalCalls || 0;
  const lines = shown.map((key, place) => [key, value(key), `--group-${place}`]);
  if (shown.length < ranked.length) {
    const rest = ({ groups }) => groups.filter(({ key }) => !shown.includes(key)).reduce((all, { totalCalls }) => all + totalCalls, 0);
    lines.push([`${ranked.length - shown.length} more`, rest, '--soft']);
  }
  return lines.length ? lines : [['no calls', () => 0, '--soft']];
}
