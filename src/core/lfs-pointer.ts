import { InputError } from './errors.js';

/** How the text begins that git-lfs leaves in the place of a file that it has not fetched. */
const BEGINNING = new TextEncoder().encode('version https://git-lfs');
/** So many first bytes of a file tell whether it is a pointer. */
export const POINTER_PREFIX_BYTES = 32;
/** Pointers are shorter than this. */
export const MAX_POINTER_BYTES = 1024;

/** What is said of a pointer. */
export const POINTER = 'is a pointer of git-lfs, not the file: git lfs pull fetches it';

/** True for the first bytes of a pointer. */
export function isPointer(prefix: Uint8Array): boolean {
  return BEGINNING.every((byte, i) => prefix[i] === byte);
}

/** @throws {InputError} for the first bytes of a pointer, which stands where a file should be. */
export function refusePointer(prefix: Uint8Array, file: string): void {
  if (isPointer(prefix)) throw new InputError(POINTER, { file });
}
