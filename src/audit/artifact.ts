/** Numbers that an artifact holds, as one list of it. */
export interface Numbers {
  /** Where in the artifact: a dotted path, or a tensor's name. */
  readonly name: string;
  /** As stored: `complex128`, `float32`, ... */
  readonly kind: string;
  readonly complex: boolean;
  /** Interleaved when complex; a sample when there are more. */
  readonly values: Float64Array;
  /** How many there are in all, complex ones counted once. */
  readonly count: number;
}

/** A file in the auditor's terms, whatever its format. */
export interface Artifact {
  readonly file: string;
  readonly kind: string;
  readonly fileBytes: number;
  /** What it says of itself: scalars by dotted path. */
  readonly says: ReadonlyMap<string, number | string | boolean>;
  readonly numbers: readonly Numbers[];
  /** Whether `values` are samples. */
  readonly sampled: boolean;
}
