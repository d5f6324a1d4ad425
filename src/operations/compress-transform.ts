import { exactKind } from '../architectures/exact.js';
import { isMatrix, layoutOf, TRANSFORM } from '../codecs/codec.js';
import { isBlockSize, MAX_SIZE, MIN_SIZE } from '../codecs/transform/bases.js';
import { analyze, type Coefficients, type TransformOptions } from '../codecs/transform/coefficients.js';
import { encodeCoefficients } from '../codecs/transform/payload.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { originalBytes } from '../core/model.js';
import { checkOutput } from '../io/node/checked-output.js';
import { isConvertedView, isStoredModel } from '../models/stored-model.js';
import { type CalibrationSource, heldOutOf } from '../quantization/calibration/calibrate.js';
import { Candidate, type CodedTensor } from '../quantization/candidate.js';
import type { LossyResult, Stage } from '../quantization/compress.js';
import { type Exact, exactGroups, findExact, weightsIn, withBuffers } from '../quantization/exact.js';
import { measureCandidate, qualityReport } from '../quantization/quality.js';
import { type Budget, checkBudget, goalOf } from '../quantization/rate-control/budget.js';
import { cannotMeet, LOST_NOTHING, withinNote } from '../quantization/rate-control/find.js';
import { searchStep } from '../quantization/rate-control/search.js';
import { codeVector } from '../quantization/vectors.js';
import { mayFit, writeWhole } from '../quantization/whole.js';
import { losslessKernels } from '../wasm/lossless.js';
import { requireElements } from '../wpk/manifest.js';
import { describeFiles, inputPaths } from '../wpk/node/manifest.js';

export interface TransformCompression {
  readonly transform: TransformOptions;
  /** Whether the largest coefficients are kept, the same share in every matrix; otherwise all are rounded, with the same relative step. */
  readonly keep: boolean;
  /** Bits, size or ratio. */
  readonly budget: Budget;
  readonly force?: boolean | undefined;
  /** The text that quality is measured on a part of; without it nothing is measured. */
  readonly calibration?: CalibrationSource | undefined;
  readonly onStage?: ((stage: Stage) => void) | undefined;
}

/** Of the number searched: the step in units of the coefficients' root mean square, or the weights for each coefficient that is kept. */
export const BOUNDS = { quantize: [2e-3, 1e3], keep: [0.5, 1e6] } as const;

/**
 * Compresses every matrix of a model by a transform, as a baseline to measure other ways against: what differs from
 * {@link compressLossy} is that no matrix, row or feature counts more than another.
 * @throws {InputError} when the budget cannot be met, naming the nearest that can, or as lossless compression does.
 */
export async function compressTransform(
  model: Model,
  output: string,
  { transform, keep, budget, force, calibration, onStage }: TransformCompression,
): Promise<LossyResult> {
  if (!isStoredModel(model))
    throw new InputError('is a .wpk already; expected a folder or a .safetensors file', { file: model.id });
  checkBudget(budget);
  requireElements(model);
  const { size } = transform;
  if (!isBlockSize(size))
    throw new InputError(`expected blocks of a power of two from ${MIN_SIZE} to ${MAX_SIZE}, found ${size}`);
  if (budget.kl !== undefined) throw new InputError('transforms take --bits, --size or --ratio, not --kl');
  await checkOutput(output, inputPaths(model), force ?? false);
  const exact = await findExact(model, model.tensors);
  const described = await describeFiles(model, {
    codec: TRANSFORM,
    ...transform,
    keep,
    budget,
    exact: exactGroups(exact),
  });
  const manifest = withBuffers(described, exact);
  const candidate = new Candidate(output, model, manifest, force ?? false);
  const unique = model.tensors.filter((_, i) => manifest.tensors[i]!.sameAs === undefined);
  const goal = goalOf(budget, {
    originalBytes: originalBytes(model),
    sideBytes: await candidate.sideBytes(),
    parameters: weightsIn(unique, exact),
  });
  const heldOut = calibration && (await heldOutOf(model, calibration));
  let trial = 0;
  const write = async (value: number) => {
    const name = `transforming, try ${++trial}`;
    const report = (done: number, total: number) => onStage?.({ name, done, total, secondsLeft: undefined });
    try {
      return await candidate.write(
        undefined,
        codeTensors(model, unique, exact, transform, { keep, value }, report),
      );
    } catch (error) {
      if (error instanceof TooFine) return Number.POSITIVE_INFINITY;
      throw error;
    }
  };
  try {
    const compressing = (done: number, total: number) =>
      onStage?.({ name: 'compressing', done, total, secondsLeft: undefined });
    if (
      !isConvertedView(model) &&
      mayFit(unique, goal.most) &&
      (await writeWhole(candidate, model, unique, compressing, goal.most))
    ) {
      await candidate.finish(undefined, undefined, goal.most);
      return { note: `the budget of ${goal.most} bytes is enough to lose nothing: ${LOST_NOTHING}` };
    }
    const bounds = BOUNDS[keep ? 'keep' : 'quantize'];
    const { met, nearest } = await searchStep(write, { ...goal, grows: false }, keep ? 10 : 1, bounds);
    if (!met && nearest!.value > goal.most) throw cannotMeet(goal, nearest!);
    const measuring = (done: number, total: number) =>
      onStage?.({ name: 'measuring', done, total, secondsLeft: undefined });
    const quality = await measureCandidate(candidate.partialPath, model, heldOut, measuring);
    await candidate.finish(quality && qualityReport(quality, heldOut!), undefined, goal.most);
    return { note: met ? undefined : withinNote(goal, nearest!) };
  } catch (error) {
    await candidate.discard();
    throw error;
  }
}

/** Of a step that makes a matrix larger than it was. */
class TooFine extends InputError {}

/** How coefficients are made fewer: see {@link BOUNDS}. */
interface Effort {
  readonly keep: boolean;
  readonly value: number;
}

async function* codeTensors(
  model: Model,
  tensors: readonly TensorInfo[],
  exact: Exact,
  transform: TransformOptions,
  effort: Effort,
  onProgress: (done: number, total: number) => void,
): AsyncGenerator<CodedTensor> {
  const total = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  let done = 0;
  for (const tensor of tensors) {
    if (isTransformed(model, tensor) && !exact.has(tensor.name)) {
      const weights = await readFloats(model, tensor);
      yield { codec: TRANSFORM, payloads: codeMatrix(weights, tensor, transform, effort) };
    } else yield await codeVector(model, tensor, exact.has(tensor.name));
    done += elementCount(tensor.shape);
    onProgress(done, total);
  }
}

/** True for the matrices that are transformed: all but what is exact by its name, too small or too wide. */
export function isTransformed(model: Model, tensor: TensorInfo): boolean {
  return (
    isMatrix(tensor, TRANSFORM) &&
    elementCount(tensor.shape) >= MIN_ELEMENTS &&
    exactKind(tensor, model.config) === undefined
  );
}

/** Smaller matrices are stored in 16 bits. */
const MIN_ELEMENTS = 1024;

/** The payloads of a matrix's pieces. @param weights row-major. */
function codeMatrix(
  weights: Float32Array,
  tensor: TensorInfo,
  transform: TransformOptions,
  effort: Effort,
): Uint8Array[] {
  return Array.from(
    layoutOf({ ...tensor, codec: TRANSFORM }, '').blocks(tensor),
    ({ first, count, columns }) => {
      const shape = { rows: count / columns, columns };
      const coefficients = analyze(weights.subarray(first, first + count), shape, transform);
      const payload = codePiece(coefficients, count, transform, effort);
      if (payload.length > count * DTYPE_BYTES[tensor.dtype])
        throw new TooFine('coefficients take more than the weights', { tensor: tensor.name });
      return payload;
    },
  );
}

/** The payload of a piece of `count` weights that is transformed. */
export function codePiece(
  coefficients: Coefficients,
  count: number,
  transform: TransformOptions,
  { keep, value }: Effort,
): Uint8Array {
  const coding = keep
    ? { keep: Math.round(count / value) }
    : { step: value * rootMeanSquare(coefficients.numbers) };
  return encodeCoefficients(losslessKernels(), coefficients, transform, coding);
}

function rootMeanSquare(numbers: Float64Array): number {
  return Math.sqrt(numbers.reduce((sum, number) => sum + number * number, 0) / numbers.length) || 1;
}
