/** A list of numbers in an artifact. */
export interface Numbers {
  /** Its place in the artifact: a dotted path, or a tensor's name. */
  readonly name: string;
  /** Stored type: `complex128`, `float32`, ... */
  readonly kind: string;
  readonly complex: boolean;
  /** The numbers or a sample of them; complex ones interleaved. */
  readonly values: Float64Array;
  /** Number of all numbers, complex ones counted once. */
  readonly count: number;
}

/** The content of an audited file, independent of its format. */
export interface Artifact {
  readonly file: string;
  readonly kind: string;
  readonly fileBytes: number;
  /** Metadata: scalars by dotted path. */
  readonly metadata: ReadonlyMap<string, number | string | boolean>;
  readonly numbers: readonly Numbers[];
  /** Whether `values` are samples. */
  readonly sampled: boolean;
}
