import { concatenate } from '../../core/bytes.js';
import type { LosslessKernels } from '../../wasm/lossless.js';
import { type Coding, type CodingHeader, decodeNumbers, encodeNumbers } from './coding.js';
import {
  analyze,
  type Coefficients,
  coefficientCounts,
  synthesize,
  TRANSFORMS,
  type TransformOptions,
} from './coefficients.js';
import type { Dimensions, Shape } from './separable.js';
import { decodeStream, encodeStream } from './streams.js';

const HEADER_BYTES = 16;
const MODES = ['keep', 'quantize'] as const;
/** Maximum numbers per piece that a decoder allocates: a complex transform of 1,024 rows of 65,536. */
const MAX_NUMBERS = 2 ** 27;

/**
 * Transforms and encodes a matrix. spec/wpk-v1.md, "Transform blocks".
 * @throws {RangeError} as {@link analyze} and {@link encodeNumbers}.
 */
export function encodeTransform(
  kernels: LosslessKernels,
  values: Float32Array,
  shape: Shape,
  options: TransformOptions,
  coding: Coding,
): Uint8Array {
  return encodeCoefficients(kernels, analyze(values, shape, options), options, coding);
}

/** Encodes a transformed matrix like {@link encodeTransform}. */
export function encodeCoefficients(
  kernels: LosslessKernels,
  { numbers, table }: Coefficients,
  { transform, size, dimensions }: TransformOptions,
  coding: Coding,
): Uint8Array {
  const { header, parts } = encodeNumbers(kernels, numbers, coding);
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, TRANSFORMS.indexOf(transform));
  view.setUint8(1, Math.log2(size));
  view.setUint8(2, dimensions);
  view.setUint8(3, MODES.indexOf(header.mode));
  view.setFloat32(4, header.scale, true);
  view.setFloat32(8, header.shifts[0], true);
  view.setFloat32(12, header.shifts[1], true);
  const tableBytes = new Uint8Array(table.buffer, table.byteOffset, table.byteLength);
  return concatenate([bytes, ...encodeStream(kernels, tableBytes, 'I16'), ...parts]);
}

/** Decodes the matrix of a payload. @throws {RangeError} when it is malformed. */
export function decodeTransform(kernels: LosslessKernels, payload: Uint8Array, shape: Shape): Float32Array {
  const { options, header } = readHeader(payload);
  const counts = coefficientCounts(shape, options);
  if (counts.numbers > MAX_NUMBERS)
    throw new RangeError(`${counts.numbers} coefficients are over the limit of ${MAX_NUMBERS}`);
  const { elements, end } = decodeStream(kernels, payload, HEADER_BYTES, 'I16', 2 * counts.table);
  const numbers = decodeNumbers(kernels, payload, end, counts.numbers, header);
  return synthesize({ numbers, table: new Int16Array(elements.buffer) }, shape, options);
}

function readHeader(payload: Uint8Array): {
  readonly options: TransformOptions;
  readonly header: CodingHeader;
} {
  if (payload.length < HEADER_BYTES)
    throw new RangeError(`expected at least ${HEADER_BYTES} bytes, found ${payload.length}`);
  const view = new DataView(payload.buffer, payload.byteOffset, HEADER_BYTES);
  const transform = TRANSFORMS[view.getUint8(0)];
  const mode = MODES[view.getUint8(3)];
  const dimensions = view.getUint8(2);
  const size = 2 ** view.getUint8(1);
  const [scale, one, more] = [view.getFloat32(4, true), view.getFloat32(8, true), view.getFloat32(12, true)];
  if (!transform || !mode || (dimensions !== 1 && dimensions !== 2))
    throw new RangeError(
      `unknown transform, mode or number of dimensions: ${payload.subarray(0, 4).join(' ')}`,
    );
  if (!(scale > 0 && [scale, one, more].every(Number.isFinite)))
    throw new RangeError(`invalid step ${scale} or offsets ${one} and ${more}`);
  return {
    options: { transform, size, dimensions: dimensions satisfies Dimensions },
    header: { mode, scale, shifts: [one, more] },
  };
}
