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

/** What every long function can be called with. */
export interface RunOptions {
  /** Is called with the progress, often. What it throws ends the call, which then leaves no output. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Ends the call when it is aborted: it rejects with the signal's reason and leaves no output. */
  readonly signal?: AbortSignal | undefined;
}

/** Rates of shorter times are chance. */
const SHORTEST_MS = 500;

/** Counts one stage of a run. Where it counts is also where an aborted run ends. */
export class Meter {
  private done = 0;
  private readonly started = Date.now();

  /** @param total units of the stage. */
  constructor(
    private readonly options: RunOptions,
    private readonly stage: string,
    private readonly total: number,
    private readonly unit: Progress['unit'] = 'bytes',
  ) {}

  /** Adds units that are done now. @throws the signal's reason once it is aborted. */
  add(units: number): void {
    this.reach(this.done + units);
  }

  /** Sets how many units are done, and how many there are where that was learned meanwhile. @throws as {@link add}. */
  reach(done: number, total = this.total): void {
    this.done = done;
    this.options.signal?.throwIfAborted();
    const { stage, unit } = this;
    this.options.onProgress?.({ stage, done, total, unit, secondsLeft: this.secondsLeft(total) });
  }

  private secondsLeft(total: number): number | undefined {
    const elapsed = Date.now() - this.started;
    return this.done > 0 && elapsed >= SHORTEST_MS
      ? ((elapsed / this.done) * (total - this.done)) / 1000
      : undefined;
  }
}
