import { isInputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { openFile } from '../../io/node/file.js';
import { openWpk } from '../../wpk/original.js';
import { writeGguf } from '../export/gguf.js';
import { planGguf } from '../export/gguf-plan.js';
import type { GgufWriteType } from '../export/gguf-types.js';

/** A file that can be made of a model. */
export interface MadeFile {
  readonly name: string;
  /** Writes it to a path. @throws {InputError} for weights that it cannot hold, and when it cannot be written. */
  write(model: Model, path: string, signal: AbortSignal): Promise<void>;
}

/** A format that models are converted to when it is asked for: a repository beside the model's own, `user/name-GGUF`. */
export interface Variant {
  /** Ending of the repository's name. */
  readonly suffix: string;
  readonly files: readonly MadeFile[];
  /** Returns if a model can be written. @throws {InputError} saying why it cannot. */
  check(model: Model): Promise<unknown>;
}

/** Types that most people ask for, each smaller than the last. */
const GGUF_TYPES: readonly GgufWriteType[] = ['F16', 'Q8_0'];

export const VARIANTS: readonly Variant[] = [
  {
    suffix: '-GGUF',
    files: GGUF_TYPES.map((type) => ({
      name: `model-${type}.gguf`,
      write: (model, path, signal) => writeGguf(model, path, { type, signal }),
    })),
    check: (model) => planGguf(model, 'F16'),
  },
];

/** Opens a .wpk as a model, calls `work`, and closes it. */
export async function withModel<Result>(
  path: string,
  work: (model: Model) => Promise<Result>,
): Promise<Result> {
  const model = await openWpk(await openFile(path));
  try {
    return await work(model);
  } finally {
    await model.close();
  }
}

/** Returns whether a .wpk can be written as a variant. */
export async function canMake({ check }: Variant, path: string): Promise<boolean> {
  try {
    await withModel(path, check);
    return true;
  } catch (error) {
    if (!isInputError(error)) throw error;
    return false;
  }
}
