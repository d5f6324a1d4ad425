import type { WeightError } from '../evaluation/compare.js';

/** Result of verifying a .wpk. */
export interface Verification {
  /** True when no problem was found. */
  readonly good: boolean;
  /** Problems, with their place, one line each. */
  readonly problems: readonly string[];
  /** Number of decoded blocks. */
  readonly blocks: number;
  /** Number of tensors in the file. */
  readonly tensors: number;
  /** Number of files that it restores. */
  readonly files: number;
  /** Total bytes of these files. */
  readonly decodedBytes: number;
  /** True when every byte of every file equals the other's; undefined if nothing was compared. */
  readonly bitExact: boolean | undefined;
  /** Difference of a lossy file's weights from the other's; undefined if nothing was compared. */
  readonly error: WeightError | undefined;
}
