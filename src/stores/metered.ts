import type { Store, StoredObject } from './store.js';

/** A store that measures for how long something was asked of it. */
export class MeteredStore implements Store {
  private pending = 0;
  private since = 0;
  private milliseconds = 0;

  constructor(private readonly store: Store) {}

  /** Seconds in which at least one answer was awaited. */
  get waitedSeconds(): number {
    return (this.milliseconds + (this.pending ? performance.now() - this.since : 0)) / 1000;
  }

  get name() {
    return this.store.name;
  }

  get traffic() {
    return this.store.traffic;
  }

  size(...args: Parameters<Store['size']>) {
    return this.timed(() => this.store.size(...args));
  }

  read(...args: Parameters<Store['read']>) {
    return this.timed(() => this.store.read(...args));
  }

  write(...args: Parameters<Store['write']>) {
    return this.timed(() => this.store.write(...args));
  }

  list(...args: Parameters<Store['list']>): AsyncIterable<StoredObject> {
    return this.store.list(...args);
  }

  remove(key: string) {
    return this.timed(() => this.store.remove(key));
  }

  sweep(ageMs: number) {
    return this.store.sweep(ageMs);
  }

  close() {
    return this.store.close();
  }

  private async timed<T>(call: () => Promise<T>): Promise<T> {
    if (!this.pending++) this.since = performance.now();
    try {
      return await call();
    } finally {
      if (!--this.pending) this.milliseconds += performance.now() - this.since;
    }
  }
}
