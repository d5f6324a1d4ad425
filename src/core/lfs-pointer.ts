import { InputError } from './errors.js';

/** First bytes of a git-lfs pointer, the text that stands in for a file that was not fetched. */
const PREFIX = new TextEncoder().encode('version https://git-lfs');
/** Bytes at the front of a file that show whether it is a pointer. */
export const POINTER_PREFIX_BYTES = 32;
/** Maximum size of a pointer. */
export const MAX_POINTER_BYTES = 1024;

/** Message about a pointer. */
export const POINTER = 'is a git-lfs pointer, not the file: run git lfs pull';

/** Returns whether the first bytes of a file are those of a pointer. */
export function isPointer(prefix: Uint8Array): boolean {
  return PREFIX.every((byte, i) => prefix[i] === byte);
}

/** Checks the first bytes of a file. @throws {InputError} when they are those of a pointer. */
export function refusePointer(prefix: Uint8Array, file: string): void {
  if (isPointer(prefix)) throw new InputError(POINTER, { file });
}
