// Helpers for the page's elements.

export const find = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind;
export const input = (id: string) => find<HTMLInputElement>(id);

/** Creates an element with text or children. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  content: string | readonly (Node | string)[] = '',
  className = '',
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  if (typeof content === 'string') made.textContent = content;
  else made.append(...content);
  if (className) made.className = className;
  return made;
}

/** Creates a button. */
export function button(text: string, onclick: () => void, className = ''): HTMLButtonElement {
  const made = element('button', text, className);
  made.type = 'button';
  made.onclick = onclick;
  return made;
}

export function row(cells: readonly (string | HTMLElement)[]): HTMLTableRowElement {
  return element(
    'tr',
    cells.map((cell) => element('td', [cell])),
  );
}

/** Creates the content of a `dl` from pairs. */
export function descriptions(pairs: readonly (readonly [string, string])[]): HTMLElement[] {
  return pairs.map(([name, value]) => element('div', [element('dt', name), element('dd', value)]));
}

const SVG = 'http://www.w3.org/2000/svg';

/** Creates an element of SVG. */
export function svg(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  text = '',
): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

/** Shows a status or an error. */
export function say(text: string, wrong = false): void {
  const status = find('status');
  status.textContent = text;
  status.classList.toggle('wrong', wrong);
}
