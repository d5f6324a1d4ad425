import { InputError } from '../core/errors.js';
import { writePieces } from '../io/node/checked-output.js';
import { exists } from '../io/node/output.js';
import { openStore } from '../stores/open.js';
import type { Store } from '../stores/store.js';

const ADDRESS = /^(s3:\/\/.+)\/([^/]+)$/;

/** Returns whether an output is in a bucket: `s3://bucket/folder/name`, and no path. */
export const isInBucket = (output: string) => output.startsWith('s3://');

export interface OutputOptions {
  /** Replaces what is there. */
  readonly force?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where finished files go: paths, and buckets, each of which is opened and tried once. */
export class Outputs {
  private readonly stores = new Map<string, Promise<Store>>();

  constructor(private readonly options: OutputOptions) {}

  /** Returns whether there is something that may not be replaced. @throws {InputError} when a bucket cannot be used. */
  async isTaken(output: string): Promise<boolean> {
    const { force = false, signal } = this.options;
    if (!isInBucket(output)) return !force && (await exists(output));
    const { store, name } = await this.place(output);
    return !force && (await store.size(name, signal)) !== undefined;
  }

  /** Writes a finished file. @throws {InputError} when another was there first. */
  async put(output: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    const { force = false, signal } = this.options;
    if (!isInBucket(output)) return writePieces(output, pieces, force);
    const { store, name } = await this.place(output);
    if (!(await store.write(name, pieces, signal, undefined, force))) throw taken(output);
  }

  async close(): Promise<void> {
    for (const store of this.stores.values()) await store.then((opened) => opened.close()).catch(() => {});
  }

  private async place(output: string): Promise<{ store: Store; name: string }> {
    const [, folder, name] = ADDRESS.exec(output) ?? [];
    if (folder === undefined || name === undefined)
      throw new InputError('expected an output such as s3://bucket/name.wpk', { file: output });
    const opening = this.stores.get(folder) ?? openStore(folder, { signal: this.options.signal });
    this.stores.set(folder, opening);
    opening.catch(() => this.stores.delete(folder)); // the next output tries again
    return { store: await opening, name };
  }
}

/** The error for an output that is there already. */
export const taken = (output: string) =>
  new InputError('already exists', { file: output }, { code: 'exists' });
