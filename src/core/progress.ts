/** How far a long function is. */
export interface Progress {
  /** What it does now, such as `compressing`; the next stage begins at 0 again. */
  readonly stage: string;
  /** Units of this stage that are done. */
  readonly done: number;
  /** All units of this stage; equal to `done` where nobody tells how many there will be. */
  readonly total: number;
  /** What is counted. Where a text passes a model during calibration, a token counts once per layer. */
  readonly unit: 'bytes' | 'weights' | 'tokens' | 'files' | 'tensors';
  /** Seconds that the whole call will still take, as far as can be told; undefined before that. */
  readonly secondsLeft: number | undefined;
}
