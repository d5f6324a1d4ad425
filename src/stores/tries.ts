import { ConnectionError, type Place } from '../core/errors.js';
import { sleep } from '../io/request.js';

/** Number of tries of a request, and the waits between them, which double. */
export const TRIES = { count: 8, firstWaitMs: 200, maxWaitMs: 10_000 };

/** Counts the failures of one action, and waits after each. */
export class Tries {
  private failures = 0;

  /** @param place for the message when no try is left. */
  constructor(
    private readonly place: Place,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /**
   * Waits before the next try: half of the time and a random part of the rest, so that machines do not come back together.
   * @throws {ConnectionError} when no try is left. @throws the signal's reason when it is aborted.
   */
  async next(reason: string, cause: unknown): Promise<void> {
    this.signal?.throwIfAborted();
    if (++this.failures >= TRIES.count)
      throw new ConnectionError(`${reason}, ${this.failures} times in a row`, this.place, { cause });
    const wait = Math.min(TRIES.maxWaitMs, TRIES.firstWaitMs * 2 ** (this.failures - 1));
    await sleep((wait * (1 + Math.random())) / 2, this.signal);
  }

  /** Starts counting again, because there was progress. */
  reset(): void {
    this.failures = 0;
  }
}
