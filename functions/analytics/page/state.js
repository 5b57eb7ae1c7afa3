// What is shown, as the part of the address behind `#` says: a link reopens the same view. That part
// never reaches a server. The token is taken out of it at once, and kept here only.

const RANGES = { '1h': 3600e3, '6h': 6 * 3600e3, '24h': 24 * 3600e3, '7d': 168 * 3600e3, '30d': 720 * 3600e3, '90d': 2160 * 3600e3 };
const LENGTHS = { minute: 60e3, hour: 3600e3, day: 24 * 3600e3 };
const MOST_POINTS = 1500;

let token = null;
let caller = { email: null };
const state = {};

function zoneOfBrowser() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
}

function isZone(name) {
  try {
    Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has('token')) {
    token = given.get('token').trim() || null;
    caller = callerOf(token);
  }
  const [from, to] = [given.get('from'), given.get('to')].map((time) => Date.parse(time));
  state.from = from < to ? from : null;
  state.to = from < to ? to : null;
  state.range = given.get('range') in RANGES ? given.get('range') : '24h';
  state.granularity = given.get('granularity') in LENGTHS ? given.get('granularity') : 'auto';
  state.timezone = isZone(given.get('timezone') || undefined) && given.get('timezone') || zoneOfBrowser();
  state.user = given.get('user') || null;
  state.live = given.get('live') !== '0';
  state.sort = ['calls', 'lastSeen', 'email'].includes(given.get('sort')) ? given.get('sort') : 'calls';
  state.search = given.get('search') || '';
  state.group = given.get('group') || '';
  writeAddress();
}

function writeAddress() {
  const view = new URLSearchParams();
  if (state.from) {
    view.set('from', new Date(state.from).toISOString());
    view.set('to', new Date(state.to).toISOString());
  } else {
    view.set('range', state.range);
  }
  if (state.granularity !== 'auto') view.set('granularity', state.granularity);
  view.set('timezone', state.timezone);
  if (state.user) view.set('user', state.user);
  if (!state.live) view.set('live', '0');
  if (state.sort !== 'calls') view.set('sort', state.sort);
  if (state.search) view.set('search', state.search);
  if (state.group) view.set('group', state.group);
  history.replaceState(null, '', '#' + view);
}

function spanMillis() {
  return state.from ? state.to - state.from : RANGES[state.range];
}

function isPossible(granularity) {
  return spanMillis() / LENGTHS[granularity] < MOST_POINTS - 2;
}

// As fine as some two hundred points allow, unless a granularity is chosen.
function granularity() {
  if (state.granularity !== 'auto' && isPossible(state.granularity)) return state.granularity;
  return Object.keys(LENGTHS).find((name) => spanMillis() / LENGTHS[name] <= 200) || 'day';
}

// The parameters of the span.
function span() {
  const shown = { granularity: granularity(), timezone: state.timezone };
  if (state.user) shown.email = state.user;
  if (state.from) return { ...shown, from: new Date(state.from).toISOString(), to: new Date(state.to).toISOString() };
  return { ...shown, duration: state.range };
}

// What a token says: whether it is true is for the API to decide.
function claimsOf(token) {
  const part = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
  const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

// Whom a token names, to greet them.
function callerOf(token) {
  try {
    return { email: claimsOf(token).email || null };
  } catch {
    return { email: null };
  }
}
