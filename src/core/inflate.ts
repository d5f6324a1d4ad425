import { Gunzip, Inflate } from 'fflate';
import { concatenate } from './bytes.js';

/** Compressed bytes per step; each may inflate to a thousand times as many. */
const PIECE_BYTES = 4096;

/** What can be wrong with deflated bytes. */
export type Damage = 'too long' | 'damaged' | 'cut short';

/**
 * Inflates at most `maxBytes` bytes, step by step, so that a decompression bomb cannot exhaust memory.
 * @returns the inflated bytes, or what is wrong with the input.
 */
export function inflateWithin(
  format: 'deflate' | 'gzip',
  bytes: Uint8Array,
  maxBytes: number,
): Uint8Array | Damage {
  const parts: Uint8Array[] = [];
  let [length, ended] = [0, false];
  const inflater = new (format === 'gzip' ? Gunzip : Inflate)((part, last) => {
    length += part.length;
    ended ||= last;
    if (length <= maxBytes) parts.push(part);
  });
  try {
    for (let start = 0; (start === 0 || start < bytes.length) && length <= maxBytes; start += PIECE_BYTES)
      inflater.push(bytes.subarray(start, start + PIECE_BYTES), start + PIECE_BYTES >= bytes.length);
  } catch {
    return length > maxBytes ? 'too long' : 'damaged';
  }
  if (length > maxBytes) return 'too long';
  return ended ? concatenate(parts) : 'cut short';
}
