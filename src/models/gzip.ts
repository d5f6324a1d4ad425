import { InputError } from '../core/errors.js';
import { inflateWithin } from '../core/inflate.js';

/** True for the first bytes of a gzip file. */
export function isGzip(prefix: Uint8Array): boolean {
  return prefix[0] === 0x1f && prefix[1] === 0x8b;
}

const SAID = { damaged: 'the gzip stream is damaged', 'cut short': 'the gzip stream is cut short' };

/** Inflates a gzip file. @throws {InputError} when it holds more than `mostBytes`, or is damaged. */
export function gunzip(bytes: Uint8Array, mostBytes: number, file: string): Uint8Array {
  const inflated = inflateWithin('gzip', bytes, mostBytes);
  if (inflated instanceof Uint8Array) return inflated;
  const what =
    inflated === 'too long'
      ? `the gzip stream holds more than ${mostBytes} bytes, which is the limit`
      : SAID[inflated];
  throw new InputError(what, { file });
}
