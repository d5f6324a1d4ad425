import { concatenate } from '../../core/bytes.js';
import type { LosslessKernels } from '../../wasm/lossless.js';
import { analyze } from './analysis.js';
import { type Coding, encodeNumbers } from './coding.js';
import { type Coefficients, TRANSFORMS, type TransformOptions } from './coefficients.js';
import { HEADER_BYTES, MODES } from './payload.js';
import type { Shape } from './separable.js';
import { encodeStream } from './streams.js';

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
