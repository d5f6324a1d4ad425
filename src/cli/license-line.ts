import type { License } from '../models/license.js';

/** A license and where it is said, or plainly that it is not known. */
export function licenseLine({ id, from }: License): string {
  if (id !== 'unknown') return `${id} (${from})`;
  return from
    ? `unknown: the text of ${from} is not recognized`
    : 'unknown: no model card or license file says';
}
