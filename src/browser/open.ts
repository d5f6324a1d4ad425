import { type OpenedWpk, openWpk } from '../container/original.js';
import { InputError } from '../errors.js';
import { BlobSource } from '../io/blob.js';
import { HttpSource, openAddress, RangesRefused } from '../io/http.js';
import { request } from '../io/request.js';
import type { ByteSource } from '../io/source.js';
import { DownloadCache } from './cache.js';
import { type DecodedTensor, decodeAll } from './tensors.js';
import { Workers } from './workers.js';

export interface OpenOptions {
  readonly signal?: AbortSignal;
  /** Web Workers that decode; default: one a processor, at most four. */
  readonly workers?: number;
  /**
   * Keep the whole file for the next time: it is fetched now, or what is missing of it. Where the browser keeps nothing for this page
   * (private windows), it is read as without this.
   */
  readonly keep?: boolean;
  /** Told bytes of the file that came, where all of it is fetched: with `keep`, and from servers that do not send parts. */
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
    const file = await openAddress(address, options.signal);
    const cache = options.keep ? await DownloadCache.open() : undefined;
    if (!cache) return new HttpSource(file);
    return new BlobSource(await cache.fetch(address, file, options.onDownload, options.signal), file.name);
  } catch (error) {
    if (!(error instanceof RangesRefused)) throw error;
    return new BlobSource(await fetchWhole(address, options), error.place.file);
  }
}

async function fetchWhole(address: string, { signal, onDownload }: OpenOptions): Promise<Blob> {
  const { response } = await request(address, address, { signal });
  if (!response.ok) throw new InputError(`the server answers ${response.status}`, { file: address });
  const declared = Number(response.headers.get('content-length') ?? NaN);
  const total = Number.isFinite(declared) ? declared : undefined;
  let done = 0;
  const counted = response.body!.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        done += chunk.length;
        onDownload?.(done, total);
        controller.enqueue(chunk);
      },
    }),
  );
  return new Response(counted).blob(); // a browser keeps large ones on disk
}
