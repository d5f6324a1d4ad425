import { resolve } from 'node:path';
import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { isEmbeddingModel } from '../../inference/embedding/program.js';
import { checkOutput } from '../../io/node/checked-output.js';
import type { Fallback } from '../../models/gguf/mixtures.js';
import { inputsOf } from '../../models/node/inputs.js';
import { unpacked } from '../../models/packed/view.js';
import { checkMeasure } from '../../quantization/prepare.js';
import { checkBudget } from '../../quantization/rate-control/budget.js';
import type { Summary } from '../../wpk/summary.js';
import { storedBytes } from '../export/gguf-tensors.js';
import { withinBudget } from './budget.js';
import { type Described, describe } from './described.js';
import type { QuantizeOptions } from './options.js';
import { type Attempt, Session } from './session.js';
import { nameOfTypes, typesOfMixture } from './types.js';

/** A tensor of a quantized file. */
export interface QuantizedTensor {
  /** Its name in the file. */
  readonly name: string;
  /** As ggml names it. */
  readonly type: string;
  /** Number of its elements. */
  readonly weights: number;
  /** Bytes in the file, without padding. */
  readonly bytes: number;
}

/** A GGUF file that was written. */
export interface QuantizedGguf {
  /** Of the whole file, with metadata and tokenizer. */
  readonly bytes: number;
  /** All tensors, in the order of the file. */
  readonly tensors: readonly QuantizedTensor[];
  /** Tensors whose rows are not whole blocks of the type that they should have, and the type that they have. */
  readonly fallbacks: readonly Fallback[];
  /** Measured on the file itself, against the model; undefined without calibration. */
  readonly quality: Summary['quality'];
}

/**
 * Writes a model as GGUF with types of llama.cpp. Codes, scales and minimums are chosen with calibration statistics, with errors fed on along
 * rows and columns. The file says how it was made and what it loses, and gets its name when it is complete.
 * @throws {InputError} for a model or types that cannot be written so, a budget that cannot be met, a calibration text that is too short, and
 * an output that cannot be written. @throws the signal's reason once it is aborted.
 */
export async function quantizeGguf(
  given: Model,
  path: string,
  options: QuantizeOptions,
): Promise<QuantizedGguf> {
  const { to, types = [], force = false, names = 'llama.cpp', signal } = options;
  signal?.throwIfAborted();
  checkOptions(options, path);
  const model = await unpacked(given, signal);
  if (typeof to !== 'string') checkMeasure(model, to, isEmbeddingModel(model));
  await checkOutput(path, inputsOf(model), force);
  if (options.saveImatrix !== undefined) await checkOutput(options.saveImatrix, inputsOf(model), force);
  const described = await describe(model, names);
  await using session = await Session.open(model, described, path, options);
  const attempt =
    typeof to === 'string'
      ? await session.make(
          typesOfMixture(described, to, types, session.statistics !== undefined),
          nameOfTypes(to, types),
        )
      : await withinBudget(session, to, types);
  await session.finish(attempt);
  return resultOf(described, attempt);
}

/** @throws {InputError} for options that contradict each other. */
function checkOptions(
  { to, calibration, imatrix, saveImatrix, names, tune }: QuantizeOptions,
  path: string,
): void {
  const hasStatistics = calibration !== false && imatrix === undefined;
  if (typeof to !== 'string') checkBudget(to);
  if (typeof to !== 'string' && !hasStatistics)
    throw new InputError('a budget needs a calibration text, whose statistics say what each type costs');
  if (saveImatrix !== undefined && !hasStatistics)
    throw new InputError('an importance matrix is written of statistics, which need a calibration text');
  if (saveImatrix !== undefined && resolve(saveImatrix) === resolve(path))
    throw new InputError('the importance matrix has the name of the output', { file: path });
  if (names === 'checkpoint' && (imatrix ?? saveImatrix) !== undefined)
    throw new InputError("an importance matrix has llama.cpp's names, not the checkpoint's");
  if (tune && !hasStatistics) throw new InputError('tuning needs a calibration text');
}

function resultOf({ views, added }: Described, { file, chosen, quality }: Attempt): QuantizedGguf {
  const tensors = views.map(({ name, shape }) => {
    const type = chosen.types.get(name)!;
    return { name, type: type.name, weights: elementCount(shape), bytes: storedBytes(type, shape) };
  });
  const more = added.map(({ name, shape, type, lengthBytes }) => ({
    name,
    type: type.name,
    weights: elementCount(shape),
    bytes: lengthBytes,
  }));
  return { bytes: file.lengthBytes, tensors: [...more, ...tensors], fallbacks: chosen.fallbacks, quality };
}
