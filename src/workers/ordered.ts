/**
 * Consumes the results of promises in the order in which they are added, with at most `depth` promises pending.
 * A rejection is thrown once all earlier results have been consumed.
 */
export class Ordered<T> {
  private readonly queue: Promise<T>[] = [];

  constructor(
    private readonly depth: number,
    private readonly consume: (result: T) => Promise<void> | void,
  ) {}

  /** Adds a promise; waits while more than `depth` are pending. */
  async add(promise: Promise<T>): Promise<void> {
    promise.catch(() => {}); // awaited later: not an unhandled rejection
    this.queue.push(promise);
    if (this.queue.length > this.depth) await this.consume(await this.queue.shift()!);
  }

  /** Consumes all remaining results. */
  async finish(): Promise<void> {
    for (let next = this.queue.shift(); next; next = this.queue.shift()) await this.consume(await next);
  }
}
