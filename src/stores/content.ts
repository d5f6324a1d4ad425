import { createHash } from 'node:crypto';
import { type ByteSource, readInto } from '../core/byte-source.js';
import { InputError, IntegrityError } from '../core/errors.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { checksum } from '../wasm/lossless.js';
import { packedPieces } from './checked.js';
import type { Store } from './store.js';
import { BLOCK_BYTES, keyOf, PIECE_BYTES, type StoredFile, sumsKeyOf, wordsOf } from './stored-file.js';

export { openStoredFile } from './stored-source.js';
export type { StoredFile };

/**
 * Copies a file to a store, unless it is there. @param sha256 of the source, if known: then it is read only once.
 * @returns where it is. @throws {InputError} when the source is changed while being read.
 */
export async function putFile(
  store: Store,
  source: ByteSource,
  { sha256, ...options }: RunOptions & { readonly sha256?: string | undefined } = {},
): Promise<StoredFile> {
  const { name, byteLength: bytes } = source;
  let expected = sha256;
  let digest: FileDigest | undefined; // of a pass that came to its end
  async function* pass(stage: string) {
    const own = new FileDigest();
    yield* digestedPieces(source, own, new Meter(options, `${stage} ${name}`, bytes), options.signal);
    expected ??= own.sha256();
    if (own.sha256() !== expected) throw new InputError('was changed while being read', { file: name });
    digest = own;
  }
  const scan = async () => {
    for await (const _ of pass('hashing'));
    return digest!;
  };
  expected ??= (await scan()).sha256();
  const key = keyOf(expected);
  const found = await store.size(key, options.signal);
  if (found === undefined) await store.write(key, pass('uploading'), options.signal, bytes);
  else if (found !== bytes)
    throw new IntegrityError(`damaged: expected ${bytes} bytes, found ${found}`, {
      file: `${store.name}/${key}`,
    });
  const file = { sha256: expected, bytes, name };
  await putSums(store, file, async () => (digest ?? (await scan())).sums);
  return file;
}

async function putSums(
  store: Store,
  { sha256, bytes }: StoredFile,
  sumsOf: () => Promise<readonly bigint[]>,
): Promise<void> {
  const key = sumsKeyOf(sha256);
  if ((await store.size(key)) !== undefined) return;
  const words = Uint32Array.from((await sumsOf()).flatMap(wordsOf));
  await store.write(key, packedPieces({ sha256, bytes, blockBytes: BLOCK_BYTES }, [words]));
}

/** Yields all bytes of a source, and adds them to its digest. */
async function* digestedPieces(
  source: ByteSource,
  digest: FileDigest,
  meter: Meter,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(Math.min(PIECE_BYTES, source.byteLength));
  for (let start = 0; start < source.byteLength; start += PIECE_BYTES) {
    const piece = memory.subarray(0, source.byteLength - start);
    await readInto(source, piece, start, signal);
    digest.add(piece);
    yield piece;
    meter.add(piece.length);
  }
}

/** SHA-256 of a file, and a checksum of every block. */
class FileDigest {
  readonly sums: bigint[] = [];
  private readonly hash = createHash('sha256');
  private hex: string | undefined;

  /** @param piece a multiple of a block, except at the end. */
  add(piece: Uint8Array): void {
    this.hash.update(piece);
    for (let start = 0; start < piece.length; start += BLOCK_BYTES)
      this.sums.push(checksum(piece.subarray(start, start + BLOCK_BYTES)));
  }

  sha256(): string {
    this.hex ??= this.hash.digest('hex');
    return this.hex;
  }
}
