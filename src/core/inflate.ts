import { Gunzip, Inflate } from 'fflate';
import { concatenate } from './bytes.js';

/** Few bytes: a thousand times as many may come of them at once. */
const PIECE_BYTES = 4096;

/** What can be wrong with deflated bytes. */
export type Damage = 'too long' | 'damaged' | 'cut short';

/**
 * Inflates bytes in pieces, so that a bomb is noticed before it has gone off: no more than `mostBytes` are kept.
 * @returns the bytes, or what is wrong.
 */
export function inflateWithin(
  format: 'deflate' | 'gzip',
  bytes: Uint8Array,
  mostBytes: number,
): Uint8Array | Damage {
  const parts: Uint8Array[] = [];
  let [length, ended] = [0, false];
  const inflater = new (format === 'gzip' ? Gunzip : Inflate)((part, last) => {
    length += part.length;
    ended ||= last;
    if (length <= mostBytes) parts.push(part);
  });
  try {
    for (let start = 0; (start === 0 || start < bytes.length) && length <= mostBytes; start += PIECE_BYTES)
      inflater.push(bytes.subarray(start, start + PIECE_BYTES), start + PIECE_BYTES >= bytes.length);
  } catch {
    return length > mostBytes ? 'too long' : 'damaged';
  }
  if (length > mostBytes) return 'too long';
  return ended ? concatenate(parts) : 'cut short';
}
