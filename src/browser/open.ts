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
import { Workers } from './workers.js';

export interface OpenOptions {
  readonly signal?: AbortSignal;
  /** Web Workers that decode; default: one a processor, at most four. */
  readonly workers?: number;
  /**
   * Keep what is read for the next time, and read what was kept. Where the browser keeps nothing for this page (private windows, no
   * more room), it is read as without this.
   */
  readonly keep?: boolean;
  /** Told bytes of the file that came, where all of it has to be fetched first: from servers that do not send parts. */
  readonly onDownload?: (doneBytes: number, totalBytes: number | undefined) => void;
}

/** A model in a .wpk file, and all of it at once. */
export interface BrowserModel extends OpenedWpk {
  /** Every stored tensor in file order, decoded in workers while the rest is fetched. */
  all(signal?: AbortSignal): AsyncGenerator<DecodedTensor>;
}

/**
 * Opens a .wpk from an address, a Blob or a File. Of an address only the directory is fetched, and later what is asked for; where the
 * server does not send parts of files, all of it is fetched now.
 * @throws {InputError} in one line when it is no sound .wpk or cannot be had.
 */
export async function open(from: string | URL | Blob, options: OpenOptions = {}): Promise<BrowserModel> {
  const source = await sourceOf(from, options);
  const model = await openWpk(source, options.signal);
  let workers: Workers | undefined;
  return {
    ...model,
    readTensor: model.readTensor.bind(model),
    all: (signal) => {
      workers ??= new Workers(options.workers);
      return decodeAll(model.container, workers, signal);
    },
    close: async () => {
      workers?.close();
      await model.close();
    },
  };
}

async function sourceOf(from: string | URL | Blob, options: OpenOptions): Promise<ByteSource> {
  if (from instanceof Blob) return new BlobSource(from);
  const address = String(new URL(from, globalThis.location?.href));
  try {
    const cache = options.keep ? await DownloadCache.open() : undefined;
    const file = await openAddress(address, options.signal, cache && 1); // its front may be kept
    return cache ? await cache.keep(address, file) : new HttpSource(file);
  } catch (error) {
    if (!(error instanceof RangesRefused)) throw error;
    return new BlobSource(await fetchWhole(address, error.place.file!, options), error.place.file);
  }
}

/** All of a file in one stream, again from its front when the connection breaks: such a server cannot go on where it was. */
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
  if (!response.ok) throw new InputError(`the server answers ${response.status}`, { file: name });
  const { headers } = response;
  const declared = headers.get('content-encoding') ? null : headers.get('content-length');
  const total = declared === null ? undefined : Number(declared);
  const parts: Blob[] = []; // a browser keeps large ones on disk
  let done = 0;
  for await (const chunk of chunksOf(response)) {
    if (!done && chunk.length >= FILE_HEADER_BYTES && !isWpk(chunk))
      throw new InputError('not a .wpk file: its first bytes are others', { file: name });
    done += chunk.length;
    if (done > (total ?? MAX_UNDECLARED_BYTES))
      throw new InputError('the server sends more bytes than were asked for', { file: name });
    onDownload?.(done, total);
    parts.push(new Blob([chunk as Uint8Array<ArrayBuffer>]));
  }
  return new Blob(parts);
}

/** What is taken of a body whose length nobody tells. */
const MAX_UNDECLARED_BYTES = 2 ** 33;
