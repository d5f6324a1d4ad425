import { InputError } from '../core/errors.js';
import { inflateWithin } from '../core/inflate.js';

/** Returns whether the first bytes of a file are those of gzip. */
export function isGzip(prefix: Uint8Array): boolean {
  return prefix[0] === 0x1f && prefix[1] === 0x8b;
}

const MESSAGES = { damaged: 'the gzip stream is damaged', 'cut short': 'the gzip stream is truncated' };

/** Inflates a gzip file to at most `maxBytes` bytes. @throws {InputError} when it holds more or is damaged. */
export function gunzip(bytes: Uint8Array, maxBytes: number, file: string): Uint8Array {
  const inflated = inflateWithin('gzip', bytes, maxBytes);
  if (inflated instanceof Uint8Array) return inflated;
  const what =
    inflated === 'too long' ? `the gzip stream is over the limit of ${maxBytes} bytes` : MESSAGES[inflated];
  throw new InputError(what, { file });
}
