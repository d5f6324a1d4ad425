import type { Licence } from '../formats/licence.js';

/** A licence and where it is said, or plainly that it is not known. */
export function licenceLine({ id, from }: Licence): string {
  if (id !== 'unknown') return `${id} (${from})`;
  return from
    ? `unknown: the text of ${from} is not recognised`
    : 'unknown: no model card or licence file says';
}
