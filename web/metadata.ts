// Texts of a file's metadata, by name.
import { element, find } from './page.js';

/** Characters that are shown at once. */
const SHOWN = 400;

export function showMetadata(metadata: ReadonlyMap<string, string>): void {
  const nothing = element('p', 'This file has no metadata.', 'faint');
  const entries = [...metadata].map(([name, value]) =>
    element('div', [element('dt', name), element('dd', [textOf(value)])]),
  );
  find('metadata').replaceChildren(...(entries.length ? [element('dl', entries, 'entries')] : [nothing]));
}

function textOf(value: string): HTMLElement {
  const kind = /^[{[]|\{%/.test(value) ? 'value code' : 'value';
  if (value.length <= SHOWN) return element('span', value, kind);
  const summary = element('summary', `${value.slice(0, SHOWN / 4)} …`);
  return element('details', [summary, element('span', value, kind)]);
}
