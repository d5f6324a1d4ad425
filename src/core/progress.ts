/** Progress of a long function. */
export interface Progress {
  /** Current stage, such as `compressing`; each stage starts at 0. */
  readonly stage: string;
  /** Units of this stage completed so far. */
  readonly done: number;
  /** Total units of this stage; equal to `done` if the total is unknown. */
  readonly total: number;
  /** Unit of `done` and `total`. During calibration a token counts once per layer. */
  readonly unit: 'bytes' | 'weights' | 'tokens' | 'files' | 'tensors';
  /** Estimated seconds until the whole call returns; undefined until there is an estimate. */
  readonly secondsLeft: number | undefined;
}

/** Options of every long function. */
export interface RunOptions {
  /** Called often with the progress. If it throws, the call rejects with that error and leaves no output. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the call: it rejects with the signal's reason and leaves no output. */
  readonly signal?: AbortSignal | undefined;
}

/** Minimum time before the remaining time is estimated. */
const MIN_ELAPSED_MS = 500;

/** Reports the progress of one stage, and throws if the run was aborted. */
export class Meter {
  private done = 0;
  private readonly started = Date.now();

  /** @param total total units of the stage. */
  constructor(
    private readonly options: RunOptions,
    private readonly stage: string,
    private readonly total: number,
    private readonly unit: Progress['unit'] = 'bytes',
  ) {}

  /** Adds completed units. @throws the signal's reason if it is aborted. */
  add(units: number): void {
    this.reach(this.done + units);
  }

  /** Sets the number of completed units, and the total if it has changed. @throws as {@link add}. */
  reach(done: number, total = this.total): void {
    this.done = done;
    this.options.signal?.throwIfAborted();
    const { stage, unit } = this;
    this.options.onProgress?.({ stage, done, total, unit, secondsLeft: this.secondsLeft(total) });
  }

  private secondsLeft(total: number): number | undefined {
    const elapsed = Date.now() - this.started;
    return this.done > 0 && elapsed >= MIN_ELAPSED_MS
      ? ((elapsed / this.done) * (total - this.done)) / 1000
      : undefined;
  }
}

/** Returns what reports the progress of a stage whose total is known when it begins to count. */
export function stageMeter(
  options: RunOptions,
  stage: string,
  unit?: Progress['unit'],
): (done: number, total: number) => void {
  let meter: Meter | undefined;
  return (done, total) => {
    meter ??= new Meter(options, stage, total, unit);
    meter.reach(done, total);
  };
}
