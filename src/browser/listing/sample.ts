import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import type { VirtualTensor } from '../../models/virtual.js';
import { distribution, type Histogram } from '../distribution.js';
import { valuesOf } from './values.js';

/** Elements that are read at most: all of a tensor up to this size, else pieces of it, evenly spaced. */
const MAX_ELEMENTS = 2 ** 20;
const PIECES = 16;
/** Pieces begin at multiples of this, so that no block of a quantized type is read twice. */
const ALIGNMENT = 256;

/** Counts the elements of a tensor, or a sample of a large one, read by ranges. @throws {InputError} for damaged data. */
export async function sampledHistogram(tensor: VirtualTensor, signal?: AbortSignal): Promise<Histogram> {
  const { name, dtype, shape } = tensor;
  const width = DTYPE_BYTES[dtype];
  const parts: Float32Array[] = [];
  for (const [start, end] of rangesOf(elementCount(shape)))
    parts.push(valuesOf(name, dtype, await tensor.read(start * width, end * width, signal)));
  return distribution(parts);
}

/** Returns the ranges of elements to read. */
export function rangesOf(elements: number): [start: number, end: number][] {
  if (elements <= MAX_ELEMENTS) return [[0, elements]];
  const length = MAX_ELEMENTS / PIECES;
  const last = elements - length;
  return Array.from({ length: PIECES }, (_, i) => {
    const start = Math.floor((last * i) / (PIECES - 1) / ALIGNMENT) * ALIGNMENT;
    return [start, start + length];
  });
}
