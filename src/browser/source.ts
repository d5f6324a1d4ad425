import type { ByteSource } from '../core/byte-source.js';
import { ConnectionError, InputError, isInputError } from '../core/errors.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { BlobSource } from '../io/blob.js';
import { chunksOf } from '../io/body.js';
import { HttpSource, openAddress, RangesRefused } from '../io/http.js';
import { RETRIES, request, sleep, waitAfter } from '../io/request.js';
import { DownloadCache } from './cache.js';

/** How a file is read, and whether what is read is cached. Progress is reported where all of it has to be fetched first. */
type SourceOptions = RunOptions & { readonly keep?: boolean | undefined };

/** Looks at a file's first bytes. */
type Check = (front: Uint8Array, name: string) => void;

/**
 * Opens an address, a Blob or a File to be read by ranges. Where the server does not send parts of files, all of it is fetched now.
 * @param check is called with the first bytes of a file that is fetched, and its name; it throws for one that is not wanted.
 * @throws {InputError} when it cannot be fetched. @throws the signal's reason once it is aborted.
 */
export async function openSource(
  from: string | URL | Blob,
  options: SourceOptions,
  check: Check = () => {},
): Promise<ByteSource> {
  if (from instanceof Blob) return new BlobSource(from);
  const address = String(new URL(from, globalThis.location?.href));
  try {
    const cache = options.keep ? await DownloadCache.open() : undefined;
    const file = await openAddress(address, options.signal, cache && 1); // its front may be cached
    return cache ? await cache.keep(address, file) : new HttpSource(file);
  } catch (error) {
    if (!(error instanceof RangesRefused)) throw error;
    return new BlobSource(await fetchWhole(address, error.place.file!, options, check), error.place.file);
  }
}

/** Downloads a whole file, starting over when the connection breaks, because the server does not support range requests. */
async function fetchWhole(
  address: string,
  name: string,
  options: SourceOptions,
  check: Check,
): Promise<Blob> {
  for (let failures = 1; ; failures++)
    try {
      return await fetchOnce(address, name, options, check);
    } catch (error) {
      if (isInputError(error) || options.signal?.aborted) throw error;
      if (failures === RETRIES.attempts)
        throw new ConnectionError(`the connection broke ${failures} times in a row`, { file: name });
      await sleep(waitAfter(failures), options.signal);
    }
}

async function fetchOnce(address: string, name: string, options: SourceOptions, check: Check): Promise<Blob> {
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
    if (!done) check(chunk, name);
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
