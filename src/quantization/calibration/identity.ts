/** Inputs of a calibration; equal inputs give equal statistics. */
export interface Identity {
  /** SHA-256 that identifies the model, hexadecimal; see src/models/node/digest.ts. */
  readonly model: string;
  /** SHA-256 of the calibration text, hexadecimal. */
  readonly text: string;
  /** Number of tokens. */
  readonly tokens: number;
  /** Tokens per window; 0 for sentences. */
  readonly window: number;
  /** Seed of the sampled labels, or of the directions of embeddings. */
  readonly seed: number;
}
