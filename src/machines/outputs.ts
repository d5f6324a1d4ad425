import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import { openStore } from '../stores/open.js';

const ADDRESS = /^(s3:\/\/.+)\/([^/]+)$/;

/** A place of outputs that is not a file on this machine. */
export interface Destination {
  /** Writes it, in pieces. @throws {InputError} when another was there first. */
  put(pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens where an output goes, if its name is an address: `s3://bucket/folder/name`; undefined for a path.
 * @throws {InputError} when it is there already, unless `force`, and when it cannot be reached.
 */
export async function openDestination(
  output: string,
  {
    force = false,
    signal,
  }: { readonly force?: boolean | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<Destination | undefined> {
  if (!output.startsWith('s3://')) return undefined;
  const [, folder, name] = ADDRESS.exec(output) ?? [];
  if (folder === undefined || name === undefined)
    throw new InputError('expected an output such as s3://bucket/name.wpk', { file: output });
  const store = await openStore(folder, { signal });
  const exists = () => new InputError('already exists', { file: output }, { code: 'exists' });
  if (!force && (await store.size(name, signal)) !== undefined) {
    await store.close();
    throw exists();
  }
  return {
    put: async (pieces, whole) => {
      if (!(await store.write(name, pieces, whole, undefined, force))) throw exists();
    },
    close: () => store.close(),
  };
}

/** Bytes that are read at once. */
const PIECE_BYTES = 2 ** 23;

/** Yields the bytes of a source. */
export async function* piecesOf(source: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < source.byteLength; start += PIECE_BYTES)
    yield source.read(start, Math.min(source.byteLength, start + PIECE_BYTES), signal);
}
