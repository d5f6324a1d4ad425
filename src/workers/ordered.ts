/**
 * Consumes the results of promises in the order in which they are added, with at most `depth` promises pending; one result is consumed
 * while others are added. A rejection, or an error of `consume`, is thrown once all earlier results have been consumed.
 */
export class Ordered<T> {
  private readonly queue: Promise<T>[] = [];
  /** Settles when the result that was taken last has been consumed. */
  private consuming: Promise<void> = Promise.resolve();

  constructor(
    private readonly depth: number,
    private readonly consume: (result: T) => Promise<void> | void,
  ) {}

  /** Adds a promise; waits while more than `depth` are pending. */
  async add(promise: Promise<T>): Promise<void> {
    promise.catch(() => {}); // awaited later: not an unhandled rejection
    this.queue.push(promise);
    if (this.queue.length > this.depth) await this.next();
  }

  /** Consumes all remaining results. */
  async finish(): Promise<void> {
    while (this.queue.length) await this.next();
    await this.consuming;
  }

  /** Begins to consume the next result. */
  private async next(): Promise<void> {
    const next = this.queue.shift()!;
    await this.consuming;
    const result = await next;
    this.consuming = (async () => this.consume(result))();
    this.consuming.catch(() => {}); // awaited later
  }
}
