import type { ByteSource } from '../core/byte-source.js';
import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import { BlobSource } from '../io/blob.js';
import { chunksOf } from '../io/body.js';
import { HttpSource, openAddress, RangesRefused } from '../io/http.js';
import { RETRIES, request, sleep, waitAfter } from '../io/request.js';
import { FILE_HEADER_BYTES, isWpk } from '../wpk/frames.js';
import { type OpenedWpk, openWpk } from '../wpk/original.js';
import { DownloadCache } from './cache.js';
import { type DecodedTensor, decodeAll } from './tensors.js';
import { type DecodePool, startDecodePool } from './workers.js';

export interface OpenOptions {
  readonly signal?: AbortSignal;
  /** Number of Web Workers; by default one per core, at most four. */
  readonly workers?: number;
  /**
   * Whether to cache what is read in this browser, and to read from that cache. Has no effect where the browser does not provide storage:
   * in private windows, or when the quota is used up.
   */
  readonly keep?: boolean;
  /** Called with the bytes downloaded, if the server does not support range requests and the whole file is downloaded first. */
  readonly onDownload?: (doneBytes: number, totalBytes: number | undefined) => void;
}

/** A model in a .wpk file. */
export interface BrowserModel extends OpenedWpk {
  /** Yields every stored tensor in file order, decoded in workers while the rest is downloaded. */
  all(signal?: AbortSignal): AsyncGenerator<DecodedTensor>;
}

/**
 * Opens a .wpk from a URL, a Blob or a File. From a URL only the directory is fetched, and weights later on demand; if the server does not
 * support range requests, the whole file is downloaded first.
 * @throws {InputError} when it is not a valid .wpk or cannot be downloaded.
 */
export async function open(from: string | URL | Blob, options: OpenOptions = {}): Promise<BrowserModel> {
  const source = await sourceOf(from, options);
  const model = await openWpk(source, options.signal);
  let pool: DecodePool | undefined;
  return {
    ...model,
    readTensor: model.readTensor.bind(model),
    all: (signal) => {
      pool ??= startDecodePool(options.workers);
      return decodeAll(model.container, pool, signal);
    },
    close: async () => {
      await Promise.all([pool?.close(), model.close()]);
    },
  };
}

async function sourceOf(from: string | URL | Blob, options: OpenOptions): Promise<ByteSource> {
  if (from instanceof Blob) return new BlobSource(from);
  const address = String(new URL(from, globalThis.location?.href));
  try {
    const cache = options.keep ? await DownloadCache.open() : undefined;
    const file = await openAddress(address, options.signal, cache && 1); // its first bytes may be cached
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

async function fetchOnce(address: string, name: string, { signal, onDownload }: OpenOptions): Promise<Blob> {
  const { response } = await request(name, address, { signal });
  if (!response.ok) throw new InputError(`the server answered ${response.status}`, { file: name });
  const { headers } = response;
  const declared = headers.get('content-encoding') ? null : headers.get('content-length');
  const total = declared === null ? undefined : Number(declared);
  const parts: Blob[] = []; // browsers store large Blobs on disk
  let done = 0;
  for await (const chunk of chunksOf(response)) {
    if (!done && chunk.length >= FILE_HEADER_BYTES && !isWpk(chunk))
      throw new InputError('not a .wpk file (bad magic bytes)', { file: name });
    done += chunk.length;
    if (done > (total ?? MAX_UNDECLARED_BYTES))
      throw new InputError('the server sent more bytes than declared', { file: name });
    onDownload?.(done, total);
    parts.push(new Blob([chunk as Uint8Array<ArrayBuffer>]));
  }
  return new Blob(parts);
}

/** Maximum size of a response without a content length. */
const MAX_UNDECLARED_BYTES = 2 ** 33;
