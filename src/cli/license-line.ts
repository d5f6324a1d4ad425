import type { License } from '../models/license.js';

/** Returns a license and the file that states it, or that it is unknown. */
export function licenseLine({ id, from }: License): string {
  if (id !== 'unknown') return `${id} (${from})`;
  return from
    ? `unknown: the text of ${from} is not recognized`
    : 'unknown: no model card or license file states one';
}
