/** Inputs of a calibration; equal inputs give equal statistics. */
export interface Identity {
  /** SHA-256 that identifies the model, hexadecimal; see src/models/node/digest.ts. */
  readonly model: string;
  /** SHA-256 of the calibration text, hexadecimal. */
  readonly text: string;
  /** Number of tokens. */
  readonly tokens: number;
  /** Tokens per window. */
  readonly window: number;
  /** Seed of the sampled labels. */
  readonly seed: number;
}
