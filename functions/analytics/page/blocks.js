// Who is refused: for operators, a list, and buttons that block and unblock.

const BLOCKS_EVERY = 60e3;
const MOST_PAGES = 20;
const blocks = { until: 0, addresses: new Map(), users: new Map(), isCut: false };

const isBlocked = (whom) => (whom.includes('@') ? blocks.users : blocks.addresses).has(whom);

// Asks for the blocks when they are old, and always after a change.
async function refreshBlocks(isChanged) {
  $('blocks').hidden = !isAdmin();
  if (!isAdmin()) return;
  const isBusy = $('blocks').contains(document.activeElement) || $('key-dialog').open;
  if (!isChanged && (isBusy || Date.now() < blocks.until)) {
    if (!isBusy) drawBlocks();
    return;
  }
  blocks.until = Date.now() + BLOCKS_EVERY;
  const mine = token;
  try {
    const [addresses, users] = [new Map(), new Map()];
    let next = null;
    let pages = 0;
    do {
      const page = await json('../blocks', { cursor: next });
      for (const { address, since } of page.addresses) addresses.set(address, since);
      for (const { email, since } of page.users) users.set(email, since);
      next = page.next;
      pages += 1;
    } while (next && pages < MOST_PAGES);
    if (mine !== token) return;
    Object.assign(blocks, { addresses, users, isCut: Boolean(next) });
    drawBlocks();
    drawSuspects();
  } catch (error) {
    blocks.until = 0;
    if (mine === token) problem('blocks', error);
  }
}

function drawBlocks() {
  const all = [...blocks.addresses, ...[...blocks.users].sort()].map(([whom, since]) => ({ whom, since }));
  const shown = state.user ? [{ whom: state.user, since: blocks.users.get(state.user) }] : all;
  $('blocks-title').textContent = state.user ? 'Access' : 'Blocked addresses and users';
  $('blocks-form').hidden = Boolean(state.user);
  $('blocks-hint').hidden = !blocks.isCut;
  fill($('blocks-table'), $('blocks-title').textContent, [
    [state.user ? 'user' : 'address or user', '', ({ whom }) => (whom.includes('@') && !state.user ? userLink(whom) : whom)],
    ['blocked since', '', ({ since }) => (since ? moment(since) : 'not blocked')],
    [unseen('actions'), 'acts', ({ whom }) => blockButton(whom)],
  ], shown, 'nobody is blocked');
}

function blockButton(whom) {
  const [verb, act] = isBlocked(whom) ? ['Unblock', unblock] : ['Block', askToBlock];
  return element('button', { type: 'button', onclick: () => act(whom) }, verb, unseen(` ${whom}`));
}

// A change shows at once: the list is read from the table itself.
async function showChange() {
  await refreshBlocks(true);
  $('blocks-title').focus();
  drawSuspects();
}

function askToBlock(whom) {
  const words = whom.includes('@')
    ? `Calls with any key of ${whom} are refused within 30 seconds, until somebody unblocks the user.`
    : `Calls from ${whom} are refused within 30 seconds, whoever makes them, until somebody unblocks the address.`;
  askTo('blocks', `Block ${whom}?`, words, 'Block', async () => {
    await send('POST', '../blocks', { whom });
    await showChange();
  });
}

function unblock(whom) {
  change('blocks', async () => {
    await send('DELETE', `../blocks?${new URLSearchParams({ whom })}`);
    await showChange();
  });
}

function wireBlocks() {
  $('blocks-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const whom = $('blocks-whom').value.trim();
    $('blocks-whom').value = '';
    if (whom) askToBlock(whom);
  });
}

function forgetBlocks() {
  showProblem('blocks', '');
  Object.assign(blocks, { until: 0, addresses: new Map(), users: new Map(), isCut: false });
  $('blocks').hidden = true;
  $('blocks-whom').value = '';
}
