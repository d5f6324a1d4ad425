import type { WeightError } from '../evaluation/compare.js';

/** What the verification of a .wpk found. */
export interface Verification {
  /** True when no problem was found. */
  readonly good: boolean;
  /** What is wrong, and where, one line each. */
  readonly problems: readonly string[];
  /** Blocks of tensors that were decoded. */
  readonly blocks: number;
  /** Tensors in the file. */
  readonly tensors: number;
  /** Files that it restores. */
  readonly files: number;
  /** Bytes of these files. */
  readonly decodedBytes: number;
  /** True when every byte of every file equals the other's; undefined where nothing was compared. */
  readonly bitExact: boolean | undefined;
  /** How much the weights of a lossy file differ from the other's; undefined where nothing was compared. */
  readonly error: WeightError | undefined;
}
