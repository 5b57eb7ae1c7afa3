// The chart of calls over time. What it draws also stands in the table below it.

const LINES = [
  ['accepted', 'totalCalls', '--calls'],
  ['without a usable key', 'authFailures', '--failures'],
  ['over the plan', 'rateLimited', '--limited'],
];

let chart = null;
let drawn = '';

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function draw(series, lines) {
  const points = series.points;
  // The last bucket is drawn up to its end.
  const drawnPoints = [...points, { ...points.at(-1), start: series.to }];
  const data = [drawnPoints.map((point) => Date.parse(point.start) / 1e3), ...lines.map(([, value]) => drawnPoints.map(value))];
  const place = $('series-chart');
  const sum = (value) => points.reduce((all, point) => all + value(point), 0);
  place.setAttribute('role', 'img');
  place.setAttribute('aria-label', `${lines.map(([label, value]) => `${count(sum(value))} ${label}`).join(', ')}; the table below has every ${series.granularity}.`);
  const look = [place.clientWidth, state.timezone, matchMedia('(prefers-color-scheme: dark)').matches, ...lines.map(([label]) => label)].join();
  if (chart && drawn === look) {
    chart.setData(data);
    return;
  }
  chart?.destroy();
  drawn = look;
  chart = new uPlot(options(place.clientWidth, lines), data, place);
}

function options(width, lines) {
  const axis = { stroke: colour('--soft'), grid: { stroke: colour('--grid'), width: 1 }, ticks: { stroke: colour('--grid'), width: 1 }, font: '12px system-ui, sans-serif' };
  const line = ([label, , name]) => ({
    label,
    stroke: colour(name),
    width: 2,
    fill: name === '--calls' ? `${colour(name)}22` : undefined,
    paths: uPlot.paths.stepped({ align: 1 }),
    points: { show: false },
    value: (_, value) => (value === null ? '–' : count(value)),
  });
  return {
    width,
    height: 280,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), state.timezone),
    scales: { y: { range: (_, least, most) => [0, Math.max(1, most * 1.08)] } },
    axes: [
      { ...axis, values: [[31536000, '{YYYY}', null, null, null, null, null, null, 1], [2419200, '{MMM} {YYYY}', null, null, null, null, null, null, 1], [86400, '{D} {MMM}', null, null, null, null, null, null, 1], [3600, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1], [60, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1], [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1]] },
      { ...axis, size: 62, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9], values: (_, marks) => marks.map(count) },
    ],
    series: [{ label: 'from', value: (_, at) => (at === null ? '–' : moment(at * 1e3)) }, ...lines.map(line)],
    cursor: { drag: { x: true, y: false, setScale: false } },
    hooks: { setSelect: [chosen] },
  };
}

// A stretch that is dragged over becomes the span.
function chosen(of) {
  if (of.select.width < 8) return;
  const [from, to] = [of.select.left, of.select.left + of.select.width].map((left) => Math.round(of.posToVal(left, 'x')) * 1e3);
  of.setSelect({ width: 0, height: 0 }, false);
  if (to - from < 60e3) return;
  Object.assign(state, { from, to, granularity: 'auto' });
  changed();
}
