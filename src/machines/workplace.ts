import type { Model } from '../core/model.js';
import type { Runtime } from '../onnx/runtime.js';
import { MeteredStore } from '../stores/metered.js';
import type { Store } from '../stores/store.js';
import { openStoredModel } from './stored-model.js';

/** Models that stay open for further jobs. */
const MAX_MODELS = 4;

/** Where jobs are done: a store, and what is open for several jobs in turn. */
export class Workplace {
  readonly store: MeteredStore;
  private readonly models = new Map<string, Promise<Model>>();

  constructor(
    store: Store,
    readonly runtime: Runtime,
  ) {
    this.store = new MeteredStore(store);
  }

  /** Returns a model of the store by its key. @throws {InputError} when it is not there. */
  model(key: string): Promise<Model> {
    const known = this.models.get(key) ?? openStoredModel(this.store, key);
    this.models.delete(key); // the one that was asked for last comes last
    this.models.set(key, known);
    for (const [other, model] of this.models) {
      if (this.models.size <= MAX_MODELS) break;
      this.models.delete(other);
      model.then((opened) => opened.close()).catch(() => {}); // it could not be opened
    }
    known.catch(() => this.models.delete(key)); // the next job may find it
    return known;
  }

  async close(): Promise<void> {
    for (const model of this.models.values()) await model.then((opened) => opened.close()).catch(() => {});
    await this.store.close();
  }
}

/** What a job receives beside its data. */
export interface Work {
  readonly place: Workplace;
  /** The job's name: what it writes is stored under it. */
  readonly key: string;
  /** Is called with the share that is done, 0 to 1. */
  readonly onProgress?: ((share: number) => void) | undefined;
}
