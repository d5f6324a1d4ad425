import { createHash } from 'node:crypto';
import { type ByteSource, readPieces } from '../core/byte-source.js';
import { sumOf } from '../core/sum.js';
import { Comparison } from '../evaluation/compare.js';
import { openFile } from '../io/node/file.js';
import type { StoredModel } from '../models/stored-model.js';
import { findBaseOf } from '../open/open.js';
import { isLossyTensor, tensorsByFile } from '../wpk/directory.js';
import { Decoding } from '../wpk/node/decode.js';
import { Container } from '../wpk/reader.js';
import type { DirectoryFacts, TensorFacts } from '../wpk/writer.js';
import type { ModelBase } from './model-base.js';

/** Maximum bytes of weights to decode on the calling thread: starting threads would take longer. */
const SMALL_BYTES = 2 ** 24;

/** Digests of a lossy file and errors of its weights, which are known only after decoding. */
export type DecodedFacts = Required<Pick<DirectoryFacts, 'tensors' | 'weightError'>> & {
  readonly weightFiles: readonly { readonly sha256: string }[];
};

/** How {@link decodeFacts} decodes. */
export interface DecodeOptions {
  /** Number of threads. */
  readonly threads?: number | undefined;
  /** The base, if the file stores differences. */
  readonly base?: ModelBase | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decodes a file that is complete except for these facts, and compares it with the original.
 * @param model the original. @param threads as in {@link Decoding}. @throws the signal's reason if it is aborted.
 */
export async function decodeFacts(
  path: string,
  model: StoredModel,
  { threads, base, signal }: DecodeOptions,
): Promise<DecodedFacts> {
  const container = await Container.open(await openFile(path), undefined, findBaseOf(base?.opened));
  const { weightFiles: files } = container.directory;
  const isSmall = sumOf(files, ({ length }) => length) <= SMALL_BYTES;
  const decoding = new Decoding(container, isSmall ? 0 : threads);
  const comparison = new Comparison(model);
  const weightFiles: { sha256: string }[] = [];
  const tensors: (TensorFacts | undefined)[] = [];
  try {
    for (const { file, tensors: own } of tensorsByFile(container.directory)) {
      const sha256 = await decoding.weightFile(await container.header(file), own, async (tensor) => {
        signal?.throwIfAborted();
        const isLossy = isLossyTensor(tensor);
        const compared = comparison.tensor(tensor);
        const digest = await decoding.tensor(tensor, (elements, firstByte) =>
          compared.add(elements, firstByte, isLossy),
        );
        compared.finish();
        const error = isLossy && { error: rounded(compared.error()) };
        const facts = { codec: tensor.codec, sha256: digest, ...error };
        tensors.push(tensor.sameAs === undefined ? facts : undefined);
      });
      weightFiles.push({ sha256 });
    }
    return { weightFiles, tensors, weightError: { ...comparison.weightError() } };
  } finally {
    await decoding.close(); // its threads read the file
    await container.close();
  }
}

/** Rounds a tensor's error to two digits. */
function rounded(share: number): number {
  return Number(share.toPrecision(2));
}

/** Returns the SHA-256 of each file of weights. */
export async function digestsOf(files: readonly { readonly source: ByteSource }[]): Promise<string[]> {
  const digests: string[] = [];
  for (const { source } of files) digests.push(await digestOf(source));
  return digests;
}

/** Digests that were computed, of sources that are still open. */
const known = new WeakMap<ByteSource, Promise<string>>();

/** Returns the SHA-256 of all bytes of a source, hexadecimal; reads them once, however often it is asked for. */
export function digestOf(source: ByteSource): Promise<string> {
  const digest = known.get(source) ?? readDigest(source);
  known.set(source, digest);
  digest.catch(() => known.delete(source)); // the next call may succeed
  return digest;
}

async function readDigest(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of readPieces(source)) hash.update(piece);
  return hash.digest('hex');
}
