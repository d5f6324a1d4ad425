import { isLossyCodec } from '../codecs/codec.js';
import { InputError, IntegrityError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { RunOptions } from '../core/progress.js';
import { Comparison } from '../evaluation/compare.js';
import { unpacked } from '../models/packed/view.js';
import { openFiles, openModel } from '../open/open.js';
import { isLossyTensor, type StoredTensorEntry } from '../wpk/directory.js';
import { Decoding } from '../wpk/node/decode.js';
import type { Container, ContainerOptions } from '../wpk/reader.js';
import type { Verification } from '../wpk/verification.js';
import { FileComparison, NowhereTarget } from './compare-files.js';
import { openContainer } from './decompress.js';
import { Restoring, type Target, type Watch } from './restore.js';

/** How {@link verify} runs. */
export interface VerifyOptions extends ContainerOptions, RunOptions {
  /** Number of worker threads; 0: none; default: the machine's parallelism. */
  readonly threads?: number | undefined;
  /** The base of a file that has one, as in {@link OpenModelOptions}. */
  readonly base?: string | Model | undefined;
  /** The original to compare with: a path, an address, a name on the Hub, or an opened model. Every byte of a lossless file is compared, every element of a lossy one. */
  readonly against?: string | Model | undefined;
}

/**
 * Verifies a .wpk like `decompress`, without writing: every frame's checksum, every block's digest, every tensor's and file's
 * SHA-256. Problems are collected, not thrown; a damaged file that cannot be opened is one problem.
 * @param path a .wpk file: on disk, at an address, or on the Hub.
 * @throws {InputError} when the file or the other model cannot be read at all. @throws the signal's reason once it is aborted.
 */
export async function verify(path: string, options: VerifyOptions = {}): Promise<Verification> {
  let container: Container | undefined;
  let decoding: Decoding | undefined;
  try {
    const { base, signal } = options;
    container = await openContainer(path, { reading: 'sequential', base, signal });
    decoding = new Decoding(container, options.threads);
    return await (isLossy(container) ? verifyLossy : verifyLossless)(container, decoding, options);
  } catch (error) {
    if (!(error instanceof IntegrityError)) throw error;
    return { ...NOTHING, good: false, problems: [error.message] };
  } finally {
    await decoding?.close(); // its threads read the file
    await container?.close();
  }
}

const NOTHING = { blocks: 0, tensors: 0, files: 0, decodedBytes: 0, bitExact: undefined, error: undefined };

const isLossy = ({ directory }: Container) => directory.tensors.some(({ codec }) => isLossyCodec(codec));

/** Options for reading the other model: repeatedly, in any order. */
const reading = ({ onProgress, signal }: VerifyOptions) =>
  ({ reading: 'download', onProgress, signal }) as const;

/** Verifies a lossless file; compares whole files, not only tensors. */
async function verifyLossless(
  container: Container,
  decoding: Decoding,
  options: VerifyOptions,
): Promise<Verification> {
  const { against } = options;
  const opened = typeof against === 'string' ? await openFiles(against, reading(options)) : undefined;
  const files = opened ?? (against as Model | undefined)?.files;
  if (against && !files) throw new InputError('the other model was not opened from files');
  try {
    const comparison = files && (await FileComparison.of(container, files));
    const result = await restored(container, decoding, comparison ?? new NowhereTarget(), options);
    const problems = [...result.problems, ...(comparison?.problems ?? [])];
    const good = problems.length === 0;
    return { ...result, good, problems, bitExact: comparison && good };
  } finally {
    await opened?.close();
  }
}

/** Verifies a lossy file, and measures how much it differs from its original. */
async function verifyLossy(
  container: Container,
  decoding: Decoding,
  options: VerifyOptions,
): Promise<Verification> {
  const { against } = options;
  const opened = typeof against === 'string' ? await openModel(against, reading(options)) : undefined;
  const given = opened ?? (against as Model | undefined);
  try {
    const model = given && (await unpacked(given, options.signal));
    const comparison = model && new Comparison(model);
    const found = comparison?.listProblems(container.directory.tensors) ?? [];
    const watch = comparison && elementsOf(comparison);
    const result = await restored(container, decoding, new NowhereTarget(), { ...options, watch });
    const problems = [...result.problems, ...found];
    const good = problems.length === 0;
    const error = comparison?.weightError();
    return { ...result, good, problems, bitExact: error && good && error.differing === 0, error };
  } finally {
    await opened?.close();
  }
}

function elementsOf(comparison: Comparison) {
  return (tensor: StoredTensorEntry): Watch => {
    const compared = comparison.tensor(tensor);
    return {
      add: (elements, firstByte) => compared.add(elements, firstByte, isLossyTensor(tensor)),
      finish: () => void compared.finish(),
    };
  };
}

async function restored(
  container: Container,
  decoding: Decoding,
  target: Target,
  options: VerifyOptions & { readonly watch?: ReturnType<typeof elementsOf> | undefined },
): Promise<Verification> {
  const problems: string[] = [];
  const onProblem = ({ message }: InputError) => void problems.push(message);
  const how = { ...options, stage: 'verifying', onProblem, everyDigest: true };
  const restoring = new Restoring(container, decoding, target, how);
  await restoring.all();
  options.signal?.throwIfAborted();
  const { sideFiles, weightFiles, tensors } = container.directory;
  return {
    ...NOTHING,
    good: problems.length === 0,
    problems,
    blocks: restoring.blocks,
    tensors: tensors.length,
    files: sideFiles.length + weightFiles.length,
    decodedBytes: restoring.doneBytes,
  };
}
