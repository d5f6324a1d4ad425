import { DTYPE_BYTES, elementCount } from './dtype.js';
import { InputError } from './errors.js';
import type { TensorInfo } from './model.js';

/**
 * What a slice takes of one dimension: `[start, end]`, the end exclusive; `[start]` to the end; `[]` all of it; a number one index, and the
 * dimension is gone. A negative number counts from the end, as in Python; starts and ends do not, as in safetensors.
 */
export type SliceRange = number | readonly [start?: number, end?: number];

/** A part of a tensor: its shape, and which bytes of the tensor it consists of. */
export interface Sliced {
  readonly shape: readonly number[];
  /** Bytes of all elements. */
  readonly lengthBytes: number;
  /** Yields ranges of bytes in order, none of them empty, none beginning where another ends. */
  runs(): Generator<ByteRun>;
}

/** Bytes `start` to `end` (exclusive) of a tensor. */
export interface ByteRun {
  readonly start: number;
  readonly end: number;
}

/**
 * Returns the part of a tensor with these ranges of its first dimensions, and all of the others.
 * @param file for messages. @throws {InputError} for a range outside of its dimension, or more ranges than dimensions.
 */
export function sliceOf(
  { name, dtype, shape }: Pick<TensorInfo, 'name' | 'dtype' | 'shape'>,
  ranges: readonly SliceRange[],
  file: string,
): Sliced {
  const fail = (what: string): never => {
    throw new InputError(what, { file, tensor: name });
  };
  if (ranges.length > shape.length)
    fail(`expected at most ${shape.length} ranges for shape [${shape.join(', ')}], found ${ranges.length}`);
  const bounds = shape.map((size, i) => {
    const range = ranges[i] ?? [];
    const [start, end] = boundsIn(range, size);
    if (Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= size)
      return { start, end };
    return fail(`dimension ${i}: ${described(range)} is outside of its ${size} indices`);
  });
  const sizes = bounds.map(({ start, end }) => end - start);
  return {
    shape: sizes.filter((_, i) => typeof ranges[i] !== 'number'),
    lengthBytes: elementCount(sizes) * DTYPE_BYTES[dtype],
    runs: () => runsOf(shape, bounds, DTYPE_BYTES[dtype]),
  };
}

function boundsIn(range: SliceRange, size: number): readonly [start: number, end: number] {
  if (typeof range !== 'number') return [range[0] ?? 0, range[1] ?? size];
  const index = range < 0 ? range + size : range;
  return [index, index + 1];
}

function described(range: SliceRange): string {
  return typeof range === 'number' ? `index ${range}` : `range ${range[0] ?? ''}:${range[1] ?? ''}`;
}

/** Yields the runs of a box in a tensor. Dimensions behind the last that is cut belong to one run. */
function* runsOf(shape: readonly number[], bounds: readonly ByteRun[], width: number): Generator<ByteRun> {
  if (bounds.some(({ start, end }) => start === end)) return;
  const cut = bounds.findLastIndex(({ start, end }, i) => end - start < shape[i]!);
  const strides = shape.map((_, i) => elementCount(shape.slice(i + 1)) * width);
  if (cut < 0) return yield { start: 0, end: elementCount(shape) * width };
  const index = bounds.slice(0, cut).map(({ start }) => start);
  const { start, end } = bounds[cut]!;
  for (;;) {
    const first = index.reduce((sum, at, i) => sum + at * strides[i]!, 0);
    yield { start: first + start * strides[cut]!, end: first + end * strides[cut]! };
    let i = cut - 1;
    while (i >= 0 && ++index[i]! === bounds[i]!.end) index[i] = bounds[i--]!.start;
    if (i < 0) return;
  }
}
