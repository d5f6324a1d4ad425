/** A value in use: it stays as it is until it is released. */
export interface Lease<Value> {
  readonly value: Value;
  release(): void;
}

/** How values of a {@link Cache} are measured and disposed of. */
export interface Kind<Value> {
  sizeOf(value: Value): number;
  dispose(value: Value): unknown;
}

interface Entry<Value> {
  readonly loading: Promise<Value>;
  loaded: { readonly value: Value; readonly size: number } | undefined;
  leases: number;
  /** No longer in the cache: disposed of when the last lease ends. */
  isGone: boolean;
}

/**
 * Values by key, each loaded once however many ask for it at the same time. The least recently used are disposed of above the limit,
 * but none that is in use, and not the one used last.
 */
export class Cache<Value> {
  hits = 0;
  misses = 0;
  /** Size of all values that are loaded. */
  size = 0;
  private readonly entries = new Map<string, Entry<Value>>();

  constructor(
    private readonly limit: number,
    private readonly kind: Kind<Value>,
  ) {}

  /** Returns whether a value is loaded or being loaded. */
  has(key: string): boolean {
    return this.entries.has(key);
  }

  /** Returns the value of a key. @throws what `load` throws; the next call then loads again. */
  async lease(key: string, load: () => Promise<Value>): Promise<Lease<Value>> {
    const entry = this.find(key) ?? this.add(key, load);
    entry.leases++;
    let isHeld = true;
    const release = () => {
      if (isHeld) entry.leases--;
      isHeld = false;
      this.disposeUnused(entry);
      this.evict();
    };
    try {
      return { value: await entry.loading, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Removes a value, which is disposed of as soon as it is not in use. */
  forget(key: string): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.entries.delete(key);
    this.size -= entry.loaded?.size ?? 0;
    entry.isGone = true;
    this.disposeUnused(entry);
  }

  /** Removes all values. */
  clear(): void {
    for (const key of [...this.entries.keys()]) this.forget(key);
  }

  private find(key: string): Entry<Value> | undefined {
    const entry = this.entries.get(key);
    if (!entry) return;
    this.hits++;
    this.entries.delete(key); // behind all others: it is used last
    this.entries.set(key, entry);
    return entry;
  }

  private add(key: string, load: () => Promise<Value>): Entry<Value> {
    this.misses++;
    const entry: Entry<Value> = { loading: load(), loaded: undefined, leases: 0, isGone: false };
    this.entries.set(key, entry);
    entry.loading.then(
      (value) => {
        const size = this.kind.sizeOf(value);
        entry.loaded = { value, size };
        if (!entry.isGone) this.size += size;
        this.disposeUnused(entry);
        this.evict();
      },
      () => {
        if (this.entries.get(key) === entry) this.entries.delete(key);
      },
    );
    return entry;
  }

  private evict(): void {
    let left = this.entries.size;
    for (const [key, { loaded, leases }] of this.entries) {
      if (this.size <= this.limit || --left === 0) return;
      if (loaded && !leases) this.forget(key);
    }
  }

  private disposeUnused(entry: Entry<Value>): void {
    if (!entry.isGone || entry.leases || !entry.loaded) return;
    this.kind.dispose(entry.loaded.value);
    entry.loaded = undefined;
  }
}
