// Helpers for the page's elements.

export const find = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind;
export const input = (id: string) => find<HTMLInputElement>(id);

/** Creates an element with text or children. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  content: string | readonly Node[] = '',
  className = '',
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  if (typeof content === 'string') made.textContent = content;
  else made.append(...content);
  if (className) made.className = className;
  return made;
}

export function row(cells: readonly string[]): HTMLTableRowElement {
  return element(
    'tr',
    cells.map((cell) => element('td', cell)),
  );
}

/** Creates the content of a `dl` from pairs. */
export function descriptions(pairs: readonly (readonly [string, string])[]): HTMLElement[] {
  return pairs.flatMap(([name, value]) => [element('dt', name), element('dd', value)]);
}

/** Shows a status or an error. */
export function say(text: string, wrong = false): void {
  const status = find('status');
  status.textContent = text;
  status.classList.toggle('wrong', wrong);
}

export const count = (n: number) => n.toLocaleString('en-US');
export const share = (part: number) => `${(100 * part).toFixed(2)} %`;
export const bitsOf = ({ elements, compressedBytes }: { elements: number; compressedBytes: number }) =>
  elements ? ((8 * compressedBytes) / elements).toFixed(3) : '';
