import type { WeightError } from '../evaluation/compare.js';

export interface Verification {
  /** No problem was found. */
  readonly good: boolean;
  /** One line each: what is wrong, and where. */
  readonly problems: readonly string[];
  readonly blocks: number;
  readonly tensors: number;
  readonly files: number;
  readonly decodedBytes: number;
  /** Undefined unless compared: whether every byte of every file equals the other's. */
  readonly bitExact: boolean | undefined;
  /** For a lossy file that was compared: how much its weights differ. */
  readonly error: WeightError | undefined;
}
