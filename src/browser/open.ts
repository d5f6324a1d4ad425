import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { RunOptions } from '../core/progress.js';
import { type FindBase, unowned } from '../wpk/base.js';
import { FILE_HEADER_BYTES, isWpk } from '../wpk/frames.js';
import { type OpenedWpk, openWpk } from '../wpk/original.js';
import { openSource } from './source.js';
import { type DecodedTensor, decodeAll } from './tensors.js';
import { type DecodePool, startDecodePool } from './workers.js';

/** How {@link open} reads. Progress is reported where all of a file has to be fetched first: from servers that do not send parts. */
export interface OpenOptions extends RunOptions {
  /** Web Workers that decode; default: one per processor, at most four. */
  readonly workers?: number | undefined;
  /**
   * Caches what is read, and reads what is cached. Where the browser stores nothing for this page (private windows, no more room), it is
   * read as without this.
   */
  readonly keep?: boolean | undefined;
  /** The base of a file that is stored as differences from it: an address, a Blob, a File, or an opened model, which is not closed. */
  readonly base?: string | URL | Blob | Model | undefined;
}

/** A model in a .wpk file. */
export interface BrowserModel extends OpenedWpk {
  /**
   * Decodes every stored tensor in file order, in workers, while the rest is fetched. Tensors that are stored once for several come once.
   * @throws {IntegrityError} for one that is damaged. @throws the signal's reason once it is aborted.
   */
  all(signal?: AbortSignal): AsyncGenerator<DecodedTensor>;
}

/**
 * Opens a .wpk from an address, a Blob or a File. Of an address only the directory is fetched, and later what is asked for; where the
 * server does not send parts of files, all of it is fetched now.
 * @throws {InputError} when it is no sound .wpk or cannot be fetched. @throws the signal's reason once it is aborted.
 */
export async function open(from: string | URL | Blob, options: OpenOptions = {}): Promise<BrowserModel> {
  const source = await openSource(from, options, checkWpk);
  const model = await openWpk(source, options.signal, baseOf(options));
  let pool: DecodePool | undefined;
  const close = async () => {
    await Promise.all([pool?.close(), model.close()]);
  };
  return {
    ...model,
    readTensor: model.readTensor.bind(model),
    all: (signal) => {
      pool ??= startDecodePool(options.workers);
      return decodeAll(model.container, pool, signal);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Returns what opens the base, if one is given. */
function baseOf({ base, ...options }: OpenOptions): FindBase | undefined {
  if (base === undefined) return undefined;
  return async () => {
    if (typeof base === 'string' || base instanceof URL || base instanceof Blob) return open(base, options);
    return unowned(base);
  };
}

/** Refuses a file by its first bytes, before all of it is downloaded. */
function checkWpk(front: Uint8Array, file: string): void {
  if (front.length >= FILE_HEADER_BYTES && !isWpk(front))
    throw new InputError('not a .wpk file (bad magic bytes)', { file });
}
