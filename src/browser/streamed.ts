import { Arriving } from '../core/arriving.js';
import type { Model, Tensor } from '../core/model.js';
import { readable } from '../core/tensor.js';
import type { BrowserModel } from './open.js';

/**
 * A model whose tensors come from one pass over its file while there is one: decoded in workers, in the order of the file, the rest being
 * fetched meanwhile. A tensor is freed when its last byte is read.
 */
export class StreamedModel implements Model {
  readonly id: Model['id'];
  readonly kind: Model['kind'];
  readonly config: Model['config'];
  readonly configError: Model['configError'];
  readonly tensors: readonly Tensor[];
  readonly sideFiles: Model['sideFiles'];
  readonly weightFiles: Model['weightFiles'];
  private readonly lengths: ReadonlyMap<string, number>;
  private arrivals: Map<string, Arriving<Uint8Array>> | undefined;

  constructor(private readonly inner: BrowserModel) {
    const { id, kind, config, configError, tensors, sideFiles, weightFiles } = inner;
    this.id = id;
    this.kind = kind;
    this.config = config;
    this.configError = configError;
    this.sideFiles = sideFiles;
    this.weightFiles = weightFiles;
    this.lengths = new Map(tensors.map(({ name, lengthBytes }) => [name, lengthBytes]));
    this.tensors = readable(this, tensors);
  }

  async readTensor(name: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const arrival = this.arrivals?.get(name);
    if (!arrival) return this.inner.readTensor(name, start, end, signal);
    const bytes = await arrival.value;
    const stop = end ?? bytes.length;
    if (stop === this.lengths.get(name)) this.arrivals?.delete(name);
    return bytes.subarray(start, stop);
  }

  /** Yields what is made of this model's tensors, during one pass over its file; while another one is under way, tensors are read one by one. */
  async *pass<Item>(items: (signal: AbortSignal) => AsyncIterable<Item>): AsyncGenerator<Item> {
    const ending = new AbortController();
    if (this.arrivals) return yield* items(ending.signal);
    this.arrivals = this.expected();
    const reading = this.read(this.arrivals, ending.signal);
    try {
      yield* items(ending.signal);
    } finally {
      this.arrivals = undefined;
      ending.abort();
      await reading;
    }
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Tensors that are stored once under one name, as the model has them. Others, such as those of GGUF, are read one by one. */
  private expected(): Map<string, Arriving<Uint8Array>> {
    const { tensors: stored } = this.inner.container.directory;
    const shared = new Set(
      stored.flatMap(({ sameAs }) => (sameAs === undefined ? [] : [stored[sameAs]!.name])),
    );
    const own = stored.filter(
      ({ name, sameAs }) => sameAs === undefined && !shared.has(name) && this.lengths.has(name),
    );
    return new Map(own.map(({ name }) => [name, new Arriving()]));
  }

  private async read(
    arrivals: ReadonlyMap<string, Arriving<Uint8Array>>,
    signal: AbortSignal,
  ): Promise<void> {
    const all = [...arrivals.values()];
    try {
      for await (const { name, bytes } of this.inner.all(signal)) arrivals.get(name)?.resolve(bytes);
    } catch (error) {
      for (const { reject } of all) reject(error); // those that have arrived are not affected
    }
  }
}
