import type { LosslessKernels } from '../../wasm/lossless.js';
import { type CodingHeader, decodeNumbers } from './coding.js';
import { coefficientCounts, synthesize, TRANSFORMS, type TransformOptions } from './coefficients.js';
import type { Dimensions, Shape } from './separable.js';
import { decodeStream } from './streams.js';

export const HEADER_BYTES = 16;
export const MODES = ['keep', 'quantize'] as const;
/** Maximum numbers per piece that a decoder allocates: a complex transform of 1,024 rows of 65,536. */
const MAX_NUMBERS = 2 ** 27;

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
