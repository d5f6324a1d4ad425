import { exactKind } from '../architectures/exact.js';
import { codecOf, isMatrix, TRANSFORM } from '../codecs/codec.js';
import { analyze } from '../codecs/transform/analysis.js';
import type { Coefficients, TransformOptions } from '../codecs/transform/coefficients.js';
import { encodeCoefficients } from '../codecs/transform/encode.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import type { CodedTensor } from '../quantization/candidate-frames.js';
import type { Prepared } from '../quantization/prepare.js';
import type { OnProgress } from '../quantization/progress.js';
import { encodeUnquantized } from '../quantization/unquantized.js';
import { losslessKernels } from '../wasm/lossless.js';

/** Strength of the compression of coefficients. */
export interface Strength {
  /** Whether only the largest coefficients are stored; otherwise all are rounded. */
  readonly keep: boolean;
  /** Weights per stored coefficient, or the step in units of the coefficients' root mean square. */
  readonly strength: number;
}

/** First strength and bounds of the search. */
export const STRENGTH_SEARCH = {
  quantize: { first: 1, bounds: [2e-3, 1e3] },
  keep: { first: 10, bounds: [0.5, 1e6] },
} as const;

/** Smaller matrices are rounded to bfloat16. */
const MIN_ELEMENTS = 1024;

/** Error for a strength with which a matrix would become larger than the original. */
export class TooFine extends InputError {}

/** Encodes a model's tensors in order, each on demand. @throws {TooFine} when a matrix would become larger than the original. */
export async function* encodeTensors(
  { model, tensors, exact }: Prepared,
  transform: TransformOptions,
  strength: Strength,
  { onProgress, signal }: { readonly onProgress: OnProgress; readonly signal: AbortSignal | undefined },
): AsyncGenerator<CodedTensor> {
  const total = sumOf(tensors, ({ shape }) => elementCount(shape));
  let done = 0;
  for (const tensor of tensors) {
    signal?.throwIfAborted();
    if (isTransformed(model, tensor) && !exact.has(tensor.name)) {
      const weights = await readFloats(model, tensor);
      yield { codec: TRANSFORM, payloads: encodeMatrix(weights, tensor, transform, strength) };
    } else yield await encodeUnquantized(model, tensor, exact.has(tensor.name), undefined);
    done += elementCount(tensor.shape);
    onProgress(done, total);
  }
}

/** Returns true for tensors to transform: matrices, unless exact by their name, too small or too wide. */
export function isTransformed(model: Model, tensor: TensorInfo): boolean {
  return (
    isMatrix(tensor, TRANSFORM) &&
    elementCount(tensor.shape) >= MIN_ELEMENTS &&
    exactKind(tensor, model.config) === undefined
  );
}

/** Returns the payloads of a matrix's pieces. @param weights row-major. */
function encodeMatrix(
  weights: Float32Array,
  tensor: TensorInfo,
  transform: TransformOptions,
  strength: Strength,
): Uint8Array[] {
  return Array.from(piecesOf(tensor), ({ first, count, columns }) => {
    const shape = { rows: count / columns, columns };
    const coefficients = analyze(weights.subarray(first, first + count), shape, transform);
    const payload = encodePiece(coefficients, count, transform, strength);
    if (payload.length > count * DTYPE_BYTES[tensor.dtype])
      throw new TooFine('coefficients take more than the weights', { tensor: tensor.name });
    return payload;
  });
}

/** Returns the pieces of a tensor that are transformed one by one. */
export function piecesOf(tensor: TensorInfo) {
  return codecOf({ ...tensor, codec: TRANSFORM }, '').blocks(tensor);
}

/** Returns the payload of a piece of `count` weights that is transformed. */
export function encodePiece(
  coefficients: Coefficients,
  count: number,
  transform: TransformOptions,
  { keep, strength }: Strength,
): Uint8Array {
  const coding = keep
    ? { keep: Math.round(count / strength) }
    : { step: strength * rootMeanSquare(coefficients.numbers) };
  return encodeCoefficients(losslessKernels(), coefficients, transform, coding);
}

function rootMeanSquare(numbers: Float64Array): number {
  return Math.sqrt(sumOf(numbers, (number) => number * number) / numbers.length) || 1;
}
