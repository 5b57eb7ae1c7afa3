// The keys: a list, and their creation, replacement and end. A new key is shown once, until it is
// put away, and is nowhere else on the page.

// Keys change seldom, and a list that is drawn again loses the focus.
const KEYS_EVERY = 60e3;
const keys = { of: undefined, until: 0, list: [], next: null, plans: [], chosen: null, panel: 'keys', calls: null };

const isWorking = (key) => key.status === 'active' || key.status === 'grace';

function keysAsked(more = {}) {
  return { email: isAdmin() ? state.user : null, ...more };
}

// Asks for the keys when they are old or of somebody else.
async function refreshKeys(isChanged) {
  const of = `${isAdmin()} ${state.user}`;
  const isBusy = $('keys').contains(document.activeElement) || $('key-dialog').open;
  if (keys.of === of && !isChanged && (isBusy || Date.now() < keys.until)) return;
  if (keys.of !== of) putAway();
  Object.assign(keys, { of, until: Date.now() + KEYS_EVERY });
  const mine = view;
  try {
    const answer = await json('../keys', keysAsked());
    if (mine !== view && !isChanged) {
      keys.of = undefined;
      return;
    }
    showKeys(answer, false);
    showProblem('keys', '');
  } catch (error) {
    keys.of = undefined;
    problem('keys', error);
  }
}

function showKeys(answer, isMore) {
  keys.list = isMore ? [...keys.list, ...answer.keys] : answer.keys;
  keys.next = answer.next;
  keys.plans = answer.plans;
  $('keys-more').hidden = !keys.next;
  const email = $('keys-email');
  $('keys-email-label').hidden = !isAdmin();
  email.required = isAdmin();
  if (isAdmin() && state.user) email.value = state.user;
  $('keys-form').hidden = !keys.plans.length;
  const plan = $('keys-plan').value;
  $('keys-plan').replaceChildren(...keys.plans.map((name) => element('option', { value: name }, name)));
  if (keys.plans.includes(plan)) $('keys-plan').value = plan;
  $('keys-hint').textContent = keys.plans.length ? '' : 'To create a key you need a working one, and at most nine. An administrator creates your first.';
  $('keys-hint').hidden = keys.plans.length > 0;
  drawKeys();
}

function drawKeys() {
  const act = (key, name, start) => element('button', { type: 'button', onclick: () => start(key) }, name, unseen(` ${key.prefix}… (${key.id})`));
  const columns = [
    ['key', '', (key) => element('code', { title: key.id }, `${key.prefix}…`)],
    ['plan', '', (key) => key.plan],
    ['status', '', (key) => element('span', { class: `state ${isWorking(key) ? key.status : 'over'}` }, key.status)],
    ['created', '', (key) => moment(key.createdAt)],
    ['expires', '', (key) => (key.expiresAt ? moment(key.expiresAt) : 'never')],
    ['last use', '', (key) => (key.lastUsedAt ? moment(key.lastUsedAt) : 'not yet')],
    [unseen('actions'), 'acts', (key) => element('span', {}, ...(isWorking(key) ? [
      ...(key.status === 'active' || isAdmin() ? [act(key, 'Rotate', askToRotate)] : []),
      act(key, 'Revoke', askToRevoke),
    ] : []))],
  ];
  if (isAdmin() && !state.user) columns.splice(1, 0, ['user', '', (key) => userLink(key.email)]);
  if (shownUser()) columns.splice(5, 0, ['calls', 'count', (key) => element('span', { 'data-calls-of': key.id })]);
  fill($('keys-table'), 'Keys', columns, keys.list, 'no keys');
  drawCalls();
}

// The calls of each key, of all time, without drawing the table again.
function showCalls(stats) {
  keys.calls = stats;
  drawCalls();
}

function drawCalls() {
  const stats = keys.calls;
  const of = new Map((stats ? stats.keys : []).map(({ key, totalCalls }) => [key, totalCalls]));
  let listed = 0;
  for (const cell of document.querySelectorAll('[data-calls-of]')) {
    const calls = of.get(cell.dataset.callsOf) || 0;
    listed += calls;
    cell.textContent = count(calls);
  }
  const rest = stats && shownUser() && !keys.next ? stats.totalCalls - listed : 0;
  $('keys-rest').hidden = rest <= 0;
  $('keys-rest').textContent = `${count(rest)} calls of all time are under none of these keys: counted before calls were counted by key, or made with one that is not counted apart.`;
}

function showProblem(panel, message) {
  $(`${panel}-problem`).textContent = message;
  $(`${panel}-problem`).hidden = !message;
}

function problem(panel, error) {
  if (error.status === 401) fails(error);
  else showProblem(panel, `${error.message[0].toUpperCase()}${error.message.slice(1)}.`);
}

// Shows a new key, and the list with it: the list may be a moment behind.
async function showNew(key, words) {
  $('new-key-words').textContent = words;
  $('new-key-text').value = key.key;
  $('new-key').hidden = false;
  $('new-key-copied').textContent = '';
  await refreshKeys(true);
  if (!keys.list.some(({ id }) => id === key.id)) {
    const prefix = key.key.slice(0, key.key.lastIndexOf('_') + 5);
    keys.list.unshift({ ...key, key: undefined, prefix, status: 'active', lastUsedAt: null });
    drawKeys();
  }
  $('new-key-copy').focus();
}

function putAway() {
  $('new-key').hidden = true;
  $('new-key-text').value = '';
  $('new-key-copied').textContent = '';
}

async function copyKey() {
  const text = $('new-key-text');
  try {
    await navigator.clipboard.writeText(text.value);
    $('new-key-copied').textContent = 'Copied.';
  } catch {
    // Without the right to the clipboard: the key is selected, to be copied by keyboard.
    text.select();
    $('new-key-copied').textContent = 'Selected: copy it with your keyboard.';
  }
}

async function createKey() {
  const order = { plan: $('keys-plan').value };
  if (isAdmin()) order.email = $('keys-email').value.trim();
  if ($('keys-expires').value) order.expires = $('keys-expires').value;
  const made = await send('POST', '../keys', order);
  if (isAdmin() && !state.user) $('keys-email').value = '';
  await showNew(made, `New key of ${made.email} on plan ${made.plan}.`);
}

function askTo(panel, title, words, button, run) {
  Object.assign(keys, { chosen: run, panel });
  $('key-dialog-title').textContent = title;
  $('key-dialog-words').textContent = words;
  $('key-dialog-do').textContent = button;
  $('key-grace-label').hidden = button !== 'Rotate';
  $('key-dialog').showModal();
}

function askToRotate(key) {
  askTo('keys', `Rotate ${key.prefix}…?`, `A new key of ${key.email} replaces it. The old one keeps working for a while, so that you can change over.`, 'Rotate', async () => {
    const made = await send('POST', `../keys/${encodeURIComponent(key.id)}/rotate`, { grace: $('key-grace').value });
    await showNew(made, `New key of ${made.email}. The old one works until ${moment(made.graceUntil)}.`);
  });
}

function askToRevoke(key) {
  askTo('keys', `Revoke ${key.prefix}…?`, `Calls of ${key.email} with this key are refused within 30 seconds. This cannot be undone.`, 'Revoke', async () => {
    const { revokedAt } = await send('DELETE', `../keys/${encodeURIComponent(key.id)}`);
    await refreshKeys(true);
    const shown = keys.list.find(({ id }) => id === key.id);
    if (shown && revokedAt) shown.status = 'revoked';
    drawKeys();
    $('keys-title').focus();
  });
}

// Runs one change of a panel at a time.
async function change(panel, run) {
  if ($(panel).getAttribute('aria-busy') === 'true') return;
  $(panel).setAttribute('aria-busy', 'true');
  showProblem(panel, '');
  try {
    await run();
  } catch (error) {
    problem(panel, error);
  } finally {
    $(panel).removeAttribute('aria-busy');
  }
}

function wireKeys() {
  const on = (id, event, act) => $(id).addEventListener(event, act);
  on('keys-form', 'submit', (event) => {
    event.preventDefault();
    change('keys', createKey);
  });
  on('keys-more', 'click', () => change('keys', async () => showKeys(await json('../keys', keysAsked({ cursor: keys.next })), true)));
  on('new-key-copy', 'click', copyKey);
  on('new-key-done', 'click', () => {
    putAway();
    $('keys-title').focus();
  });
  on('key-dialog-form', 'submit', (event) => {
    event.preventDefault();
    $('key-dialog').close();
    change(keys.panel, keys.chosen);
  });
  on('key-dialog-keep', 'click', () => $('key-dialog').close());
}

function forgetKeys() {
  putAway();
  showProblem('keys', '');
  Object.assign(keys, { of: undefined, list: [], next: null, plans: [], chosen: null, calls: null });
  $('keys-rest').hidden = true;
  if ($('key-dialog').open) $('key-dialog').close();
  $('keys-email').value = '';
}
