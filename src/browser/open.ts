import type { ByteSource } from '../core/byte-source.js';
import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { BlobSource } from '../io/blob.js';
import { chunksOf } from '../io/body.js';
import { HttpSource, openAddress, RangesRefused } from '../io/http.js';
import { RETRIES, request, sleep, waitAfter } from '../io/request.js';
import { FILE_HEADER_BYTES, isWpk } from '../wpk/frames.js';
import { type OpenedWpk, openWpk } from '../wpk/original.js';
import { DownloadCache } from './cache.js';
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
  const source = await sourceOf(from, options);
  const model = await openWpk(source, options.signal);
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

async function sourceOf(from: string | URL | Blob, options: OpenOptions): Promise<ByteSource> {
  if (from instanceof Blob) return new BlobSource(from);
  const address = String(new URL(from, globalThis.location?.href));
  try {
    const cache = options.keep ? await DownloadCache.open() : undefined;
    const file = await openAddress(address, options.signal, cache && 1); // its front may be cached
    return cache ? await cache.keep(address, file) : new HttpSource(file);
  } catch (error) {
    if (!(error instanceof RangesRefused)) throw error;
    return new BlobSource(await fetchWhole(address, error.place.file!, options), error.place.file);
  }
}

/** Downloads a whole file, starting over when the connection breaks, because the server does not support range requests. */
async function fetchWhole(address: string, name: string, options: OpenOptions): Promise<Blob> {
  for (let failures = 1; ; failures++)
    try {
      return await fetchOnce(address, name, options);
    } catch (error) {
      if (isInputError(error) || options.signal?.aborted) throw error;
      if (failures === RETRIES.attempts)
        throw new ConnectionError(`the connection broke ${failures} times in a row`, { file: name });
      await sleep(waitAfter(failures), options.signal);
    }
}

async function fetchOnce(address: string, name: string, options: OpenOptions): Promise<Blob> {
  const { signal } = options;
  const { response } = await request(name, address, { signal });
  if (!response.ok) throw new InputError(`the server answered ${response.status}`, { file: name });
  const { headers } = response;
  const declared = headers.get('content-encoding') ? null : headers.get('content-length');
  const total = declared === null ? undefined : Number(declared);
  const meter = new Meter(options, 'downloading', total ?? 0);
  const parts: Blob[] = []; // a browser keeps large ones on disk
  let done = 0;
  for await (const chunk of chunksOf(response)) {
    if (!done && chunk.length >= FILE_HEADER_BYTES && !isWpk(chunk))
      throw new InputError('not a .wpk file (bad magic bytes)', { file: name });
    done += chunk.length;
    if (done > (total ?? MAX_UNDECLARED_BYTES))
      throw new InputError('the server sends more bytes than were asked for', { file: name });
    meter.reach(done, total ?? done);
    parts.push(new Blob([chunk as Uint8Array<ArrayBuffer>]));
  }
  return new Blob(parts);
}

/** Maximum size of a response without a content length. */
const MAX_UNDECLARED_BYTES = 2 ** 33;
