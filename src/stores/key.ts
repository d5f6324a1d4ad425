import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';

const PARTS = /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;
/** Leaves room for the ending of a temporary name, and for a prefix in a bucket. */
const MAX_PART_LENGTH = 200;
const MAX_KEY_LENGTH = 700;

/** End of the names of objects that are not whole. */
export const UNFINISHED = '.partial';

/** Returns whether a text can be the name of an object. */
export function isKey(text: string): boolean {
  if (text.length > MAX_KEY_LENGTH || !PARTS.test(text)) return false;
  return text
    .split('/')
    .every(
      (part) => part !== '.' && part !== '..' && !part.endsWith(UNFINISHED) && part.length <= MAX_PART_LENGTH,
    );
}

/** @throws {InputError} unless a text can be the name of an object. */
export function checkKey(text: string): void {
  if (!isKey(text)) throw new InputError(`not the name of an object: ${quote(text)}`);
}

/** @throws {InputError} unless the name of an object can start with a text. */
export function checkPrefix(text: string): void {
  if (!isKey(`${text}x`)) throw new InputError(`not the start of an object's name: ${quote(text)}`);
}
