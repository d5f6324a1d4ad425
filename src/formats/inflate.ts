import { Gunzip } from 'fflate';
import { InputError } from '../errors.js';

/** True for the first bytes of a gzip file. */
export function isGzip(prefix: Uint8Array): boolean {
  return prefix[0] === 0x1f && prefix[1] === 0x8b;
}

/** Few: a thousand times as many may come of them at once. */
const PIECE_BYTES = 2 ** 12;

/**
 * Inflates a gzip file in pieces, and stops where it becomes longer than it may.
 * @throws {InputError} when it holds more than `mostBytes`, or is damaged.
 */
export function gunzip(bytes: Uint8Array, mostBytes: number, file: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let [length, ended] = [0, false];
  const inflate = new Gunzip((part, last) => {
    length += part.length;
    ended ||= last;
    if (length <= mostBytes) parts.push(part);
  });
  try {
    for (let start = 0; start < bytes.length && length <= mostBytes; start += PIECE_BYTES)
      inflate.push(bytes.subarray(start, start + PIECE_BYTES), start + PIECE_BYTES >= bytes.length);
  } catch (error) {
    throw new InputError('the gzip stream is damaged', { file }, { cause: error });
  }
  if (length > mostBytes)
    throw new InputError(`the gzip stream holds more than ${mostBytes} bytes, which is the limit`, { file });
  if (!ended) throw new InputError('the gzip stream is cut short', { file });
  const whole = new Uint8Array(length);
  let next = 0;
  for (const part of parts) {
    whole.set(part, next);
    next += part.length;
  }
  return whole;
}
