import { isInputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { openFile } from '../../io/node/file.js';
import { findBaseOf } from '../../open/open.js';
import { ONNX_DTYPES } from '../../transformers-js/encoding.js';
import { dtypeOf } from '../../transformers-js/file-names.js';
import { transformersFiles } from '../../transformers-js/model-files.js';
import { openWpk } from '../../wpk/original.js';
import { writeGguf } from '../export/gguf.js';
import { planGguf } from '../export/gguf-plan.js';
import type { GgufWriteType } from '../export/gguf-types.js';
import { writeMadeFile } from '../export/onnx.js';

/** A file that can be made of a model. */
export interface VariantFile {
  readonly name: string;
  /** Writes it to a path. @throws {InputError} for weights that it cannot hold, and when it cannot be written. */
  write(model: Model, path: string, signal: AbortSignal): Promise<void>;
}

/** A format that models are converted to when it is asked for: a repository beside the model's own, `user/name-GGUF`. */
export interface Variant {
  /** Ending of the repository's name. */
  readonly suffix: string;
  /** Returns the files of a model. @throws {InputError} for one that cannot be written so. */
  filesOf(model: Model): Promise<readonly VariantFile[]>;
}

/** Types that most people ask for, each smaller than the last. */
const GGUF_TYPES: readonly GgufWriteType[] = ['F16', 'Q8_0'];

export const VARIANTS: readonly Variant[] = [
  {
    suffix: '-GGUF',
    filesOf: async (model) => {
      await planGguf(model, 'F16');
      return GGUF_TYPES.map((type) => ({
        name: `model-${type}.gguf`,
        write: (model, path, signal) => writeGguf(model, path, { type, signal }),
      }));
    },
  },
  {
    suffix: '-ONNX',
    filesOf: async (model) => {
      const { files } = await transformersFiles(model, ONNX_DTYPES);
      return files.map(({ name }) => ({
        name,
        write: (model, path, signal) => writeOnnx(model, name, path, signal),
      }));
    },
  },
];

/** Writes one of the files that transformers.js loads of a model. */
async function writeOnnx(model: Model, name: string, path: string, signal: AbortSignal): Promise<void> {
  const dtype = dtypeOf(name);
  const { files } = await transformersFiles(model, dtype ? [dtype] : ONNX_DTYPES, { signal });
  await writeMadeFile(files.find((file) => file.name === name)!, path, { signal });
}

/** Opens a .wpk as a model, calls `work`, and closes it. */
export async function withModel<Result>(
  path: string,
  work: (model: Model) => Promise<Result>,
): Promise<Result> {
  const model = await openWpk(await openFile(path), undefined, findBaseOf(undefined));
  try {
    return await work(model);
  } finally {
    await model.close();
  }
}

/** Returns the files of a .wpk as a variant; undefined for one that cannot be written so. */
export async function filesOf(variant: Variant, path: string): Promise<readonly VariantFile[] | undefined> {
  try {
    return await withModel(path, variant.filesOf);
  } catch (error) {
    if (!isInputError(error)) throw error;
    return;
  }
}
