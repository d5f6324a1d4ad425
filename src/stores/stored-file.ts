import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';

/** A file in a store: an object with its bytes, and one with checksums of them. */
export interface StoredFile {
  /** SHA-256 in hexadecimal: the file's name in the store. */
  readonly sha256: string;
  readonly bytes: number;
  /** What messages call it. */
  readonly name: string;
}

/** Bytes that have a checksum of their own. */
export const BLOCK_BYTES = 2 ** 20;
/** Bytes that are read at once; a multiple of a block. */
export const PIECE_BYTES = 8 * BLOCK_BYTES;

const SHA256 = /^[0-9a-f]{64}$/;

/** Returns the key of a file's bytes. @throws {InputError} when its name is not a SHA-256. */
export function keyOf(sha256: string): string {
  if (!SHA256.test(sha256)) throw new InputError(`expected a SHA-256 in hexadecimal, found ${quote(sha256)}`);
  return `files/${sha256}`;
}

/** Returns the key of a file's checksums. @throws {InputError} as {@link keyOf}. */
export const sumsKeyOf = (sha256: string): string => `${keyOf(sha256)}.sums`;

/** Returns a checksum as two words, low and high. */
export const wordsOf = (sum: bigint): [number, number] => [Number(sum & 0xffff_ffffn), Number(sum >> 32n)];
