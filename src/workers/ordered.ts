/**
 * Consumes the results of promises in the order of the promises, at most `depth` of them at work at a time.
 * A rejection ends it once everything before it has been consumed.
 */
export class Ordered<T> {
  private readonly queue: Promise<T>[] = [];

  constructor(
    private readonly depth: number,
    private readonly consume: (result: T) => Promise<void> | void,
  ) {}

  /** Adds one; waits while there are more than `depth`. */
  async add(promise: Promise<T>): Promise<void> {
    promise.catch(() => {}); // it is awaited later: not unhandled
    this.queue.push(promise);
    if (this.queue.length > this.depth) await this.consume(await this.queue.shift()!);
  }

  /** Waits for all. */
  async finish(): Promise<void> {
    for (let next = this.queue.shift(); next; next = this.queue.shift()) await this.consume(await next);
  }
}
