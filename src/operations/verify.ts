import { isLossyCodec } from '../codecs/codec.js';
import { InputError, IntegrityError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Comparison } from '../evaluation/compare.js';
import { openFiles, openModel } from '../open/open.js';
import { isLossyTensor, type StoredTensorEntry } from '../wpk/directory.js';
import { Decoding } from '../wpk/node/decode.js';
import type { Container, ContainerOptions } from '../wpk/reader.js';
import type { Verification } from '../wpk/verification.js';
import { FileComparison, NowhereTarget } from './compare-files.js';
import { openContainer } from './decompress.js';
import { Restoring, type Target, type Watch } from './restore.js';

export interface VerifyOptions extends ContainerOptions {
  readonly threads?: number;
  /** A folder, file, address or name on the Hub, or a model opened from one: compare with it every byte of every file; of a lossy file, every element. */
  readonly against?: string | Model;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/**
 * Does with a .wpk what `decompress` does, without writing: every frame's checksum, every block's digest, every tensor's and file's
 * SHA-256. Problems are collected, not thrown; a file that cannot even be opened is one problem.
 * @throws {InputError} when the file or the other model cannot be read at all.
 */
export async function verify(path: string, options: VerifyOptions = {}): Promise<Verification> {
  let container: Container | undefined;
  let decoding: Decoding | undefined;
  try {
    container = await openContainer(path, { reading: 'sequential' });
    decoding = new Decoding(container, options.threads);
    return await (isLossy(container) ? verifyLossy : verifyLossless)(container, decoding, options);
  } catch (error) {
    if (!(error instanceof IntegrityError)) throw error;
    return { ...NOTHING, good: false, problems: [error.message] };
  } finally {
    await Promise.all([decoding?.close(), container?.close()]);
  }
}

const NOTHING = { blocks: 0, tensors: 0, files: 0, decodedBytes: 0, bitExact: undefined, error: undefined };

const isLossy = ({ directory }: Container) => directory.tensors.some(({ codec }) => isLossyCodec(codec));

/** Compares files, not tensors: what is not looked at cannot be equal. */
async function verifyLossless(
  container: Container,
  decoding: Decoding,
  options: VerifyOptions,
): Promise<Verification> {
  const { against } = options;
  const opened = typeof against === 'string' ? await openFiles(against, { reading: 'download' }) : undefined;
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

/** A lossy file is expected to differ from its original: how much is measured. */
async function verifyLossy(
  container: Container,
  decoding: Decoding,
  options: VerifyOptions,
): Promise<Verification> {
  const { against } = options;
  const opened = typeof against === 'string' ? await openModel(against, { reading: 'download' }) : undefined;
  const model = opened ?? (against as Model | undefined);
  try {
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
  options: ContainerOptions &
    Pick<VerifyOptions, 'onProgress'> & { readonly watch?: ReturnType<typeof elementsOf> | undefined },
): Promise<Verification> {
  const problems: string[] = [];
  const { maxExpansion, onProgress, watch } = options;
  const onProblem = ({ message }: InputError) => void problems.push(message);
  const restoring = new Restoring(container, decoding, target, {
    maxExpansion,
    onProgress,
    onProblem,
    watch,
  });
  await restoring.all();
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
