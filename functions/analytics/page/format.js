// Numbers, times and elements.

const whole = new Intl.NumberFormat('en');
const count = (number) => whole.format(number);
const percent = (part, all) => (all ? `${(100 * part / all).toFixed(part && part < all / 100 ? 2 : 1)} %` : '–');
const millis = (number) => (number === null ? '–' : `${count(number)} ms`);

function time(text, options) {
  const zone = { timeZone: state.timezone, hourCycle: 'h23' };
  return new Intl.DateTimeFormat('en-GB', { ...zone, ...options }).format(new Date(text));
}
const moment = (text) => (text ? time(text, { dateStyle: 'medium', timeStyle: 'short' }) : '–');
const day = (text) => time(text, { dateStyle: 'medium' });
const clock = (text) => time(text, { timeStyle: 'short' });
const clockSeconds = (text) => time(text, { timeStyle: 'medium' });

const $ = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute === 'onclick') made.addEventListener('click', value);
    else if (value !== null) made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

// A path breaks behind its slashes.
function path(text) {
  const parts = text.split(/(?<=\/)/);
  return element('span', {}, ...parts.flatMap((part) => [part, element('wbr')]));
}

// Fills a table: columns are `[heading, class, cell]`; the first cell of a row heads it.
function fill(table, caption, columns, rows, none) {
  const heads = columns.map(([heading, of]) => element('th', { scope: 'col', class: of }, heading));
  const lines = rows.map((row) => element('tr', {}, ...columns.map(([, of, cell], place) => {
    const attributes = place === 0 ? { scope: 'row', class: of } : { class: of };
    return element(place === 0 ? 'th' : 'td', attributes, cell(row));
  })));
  const nothing = element('tr', {}, element('td', { class: 'none', colspan: columns.length }, none));
  table.replaceChildren(
    element('caption', { class: 'unseen' }, caption),
    element('thead', {}, element('tr', {}, ...heads)),
    element('tbody', {}, ...(lines.length ? lines : [nothing])),
  );
}

const unseen = (text) => element('span', { class: 'unseen' }, text);

// A bar as long as its share; the number beside it says the same.
function bar(part, all, of = '') {
  const filled = element('i');
  filled.style.width = `${all ? Math.min(100, 100 * part / all) : 0}%`;
  return element('span', { class: `bar ${of}`, 'aria-hidden': 'true' }, filled);
}

function numbers(list, entries) {
  list.replaceChildren(...entries.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}
