// The table of tensors: searched, sorted, and drawn only where it is seen, however many rows there are.
import { bytes, count, digits, shapeOf, share } from './numbers.js';
import type { Opened, Row } from './opened.js';
import { button, element, find, input } from './page.js';

/** Rows drawn above and below those that are seen. */
const SPARE_ROWS = 12;

interface Column {
  readonly title: string;
  /** Class of its cells. */
  readonly name: string;
  /** Compares rows for sorting. */
  compare(a: Row, b: Row): number;
  text(row: Row, whole: number): string;
}

const collator = new Intl.Collator('en', { numeric: true });
const words = (key: (row: Row) => string) => (a: Row, b: Row) => collator.compare(key(a), key(b));
const numbers = (key: (row: Row) => number) => (a: Row, b: Row) => key(a) - key(b);
const bits = ({ elements, bytes }: Row) => (elements ? (8 * bytes) / elements : 0);

const COLUMNS: readonly Column[] = [
  { title: 'tensor', name: 'name', compare: words(({ name }) => name), text: ({ name }) => name },
  {
    title: 'shape',
    name: 'shape',
    compare: (a, b) => collator.compare(a.shape.join(), b.shape.join()),
    text: ({ shape }) => shapeOf(shape),
  },
  { title: 'type', name: 'type', compare: words(({ dtype }) => dtype), text: ({ dtype }) => dtype },
  { title: 'role', name: 'role', compare: words(({ role }) => role), text: ({ role }) => role },
  {
    title: 'elements',
    name: 'elements',
    compare: numbers(({ elements }) => elements),
    text: ({ elements }) => count(elements),
  },
  { title: 'size', name: 'size', compare: numbers((row) => row.bytes), text: (row) => bytes(row.bytes) },
  {
    title: 'share',
    name: 'share',
    compare: numbers((row) => row.bytes),
    text: (row, whole) => share(row.bytes / whole),
  },
  {
    title: 'bits',
    name: 'bits',
    compare: numbers(bits),
    text: (row) => (row.elements ? bits(row).toFixed(2) : ''),
  },
  {
    title: 'error',
    name: 'error',
    compare: numbers(({ error = -1 }) => error),
    text: ({ error }) => (error === undefined ? '' : digits(error)),
  },
];

/** The rows of the open file, those that match the search, in order. */
let all: readonly { readonly row: Row; readonly haystack: string }[] = [];
let matching: Row[] = [];
let whole = 1;
let columns = COLUMNS;
let order: { readonly column: Column; readonly descending: boolean } | undefined;
let choose: (row: Row) => void = () => {};
let chosen: Row | undefined;
const drawn = new Map<number, HTMLTableRowElement>();

/** Shows a file's tensors in its own order. @param pick called with a tensor that is chosen. */
export function showTable({ rows, fileBytes, format }: Opened, pick: (row: Row) => void): void {
  [whole, choose, chosen, order] = [fileBytes, pick, undefined, undefined];
  const isLossy = rows.some(({ error }) => error !== undefined);
  // of other formats the type says how many bits an element has
  columns = COLUMNS.filter(
    ({ name }) => (name !== 'error' || isLossy) && (name !== 'bits' || format === '.wpk'),
  );
  all = rows.map((row) => ({
    row,
    haystack: `${row.name} ${row.dtype} ${row.role} ${row.shape.join('x')}`.toLowerCase(),
  }));
  input('search').value = '';
  input('search').oninput = search;
  const scroll = find('scroll');
  scroll.tabIndex = 0; // for scrolling with the keyboard
  scroll.onscroll = () => requestAnimationFrame(draw);
  scroll.onkeydown = moveByKey;
  find('columns').replaceChildren(...columns.map(heading));
  search();
}

/** Marks a tensor that was chosen elsewhere. */
export function markInTable(row: Row): void {
  chosen = row;
  for (const [i, made] of drawn) mark(made, matching[i]!);
}

/** Draws the rows that are seen; does nothing while the table is not visible. */
export function draw(): void {
  const scroll = find('scroll');
  if (!scroll.clientHeight) return;
  const height = Number.parseFloat(getComputedStyle(scroll).getPropertyValue('--row'));
  const first = Math.max(0, Math.floor(scroll.scrollTop / height) - SPARE_ROWS);
  const end = Math.min(
    matching.length,
    Math.ceil((scroll.scrollTop + scroll.clientHeight) / height) + SPARE_ROWS,
  );
  for (const [i, made] of drawn)
    if (i < first || i >= end) {
      made.remove();
      drawn.delete(i);
    }
  const [above, below] = [find('above'), find('below')];
  above.style.height = `${first * height}px`;
  below.style.height = `${(matching.length - end) * height}px`;
  let before: Element = above;
  for (let i = first; i < end; i++) {
    const made = drawn.get(i) ?? rowOf(matching[i]!, i);
    if (!drawn.has(i)) before.after(made);
    drawn.set(i, made);
    before = made;
  }
}

/** Filters by the words of the search, all of which must occur, then sorts. */
function search(): void {
  const terms = input('search').value.toLowerCase().replaceAll(' × ', 'x').split(/\s+/).filter(Boolean);
  const found = all.filter(({ haystack }) => terms.every((term) => haystack.includes(term)));
  matching = found.map(({ row }) => row);
  if (order) {
    const { column, descending } = order;
    matching.sort((a, b) => (descending ? column.compare(b, a) : column.compare(a, b)));
  }
  const size = matching.reduce((sum, row) => sum + row.bytes, 0);
  const which = terms.length ? `${count(matching.length)} of ${count(all.length)}` : count(all.length);
  find('found').textContent = `${which} tensors, ${bytes(size)}`;
  for (const made of drawn.values()) made.remove();
  drawn.clear();
  find('scroll').scrollTop = 0;
  find('tensor-table').setAttribute('aria-rowcount', String(matching.length + 1));
  draw();
}

function heading(column: Column): HTMLElement {
  const made = element('th', [button(column.title, () => sortBy(column))], column.name);
  made.scope = 'col';
  return made;
}

/** Sorts by a column: numbers begin with the largest; the third time it is the order of the file again. */
function sortBy(column: Column): void {
  const largestFirst = ['elements', 'size', 'share', 'bits', 'error'].includes(column.name);
  const isSame = order?.column === column;
  if (isSame && order?.descending !== largestFirst) order = undefined;
  else order = { column, descending: isSame ? !largestFirst : largestFirst };
  for (const [i, cell] of [...find('columns').children].entries())
    if (columns[i] === order?.column)
      cell.setAttribute('aria-sort', order?.descending ? 'descending' : 'ascending');
    else cell.removeAttribute('aria-sort');
  search();
}

function rowOf(row: Row, index: number): HTMLTableRowElement {
  const name = button('', () => choose(row));
  name.append(element('bdi', row.name)); // a long name is cut at its beginning, as its end tells it apart
  name.title = row.name;
  const cells = columns.map((column) =>
    element('td', [column.name === 'name' ? name : column.text(row, whole)], column.name),
  );
  // on a phone, where the other columns have no room
  cells[0]!.append(element('span', `${shapeOf(row.shape)} · ${row.dtype}`, 'under'));
  const made = element('tr', cells);
  made.setAttribute('aria-rowindex', String(index + 2));
  made.onclick = (event) => {
    if (!name.contains(event.target as Node)) choose(row);
  };
  mark(made, row);
  return made;
}

function mark(made: HTMLTableRowElement, row: Row): void {
  if (row === chosen) made.setAttribute('aria-current', 'true');
  else made.removeAttribute('aria-current');
}

/** Moves between rows by the arrow keys. */
function moveByKey(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const at = [...drawn].find(([, made]) => made.contains(document.activeElement))?.[0];
  if (!step || at === undefined) return;
  event.preventDefault();
  drawn
    .get(at + step)
    ?.querySelector('button')
    ?.focus();
}
