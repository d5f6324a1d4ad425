import { DTYPE_BYTES, type Dtype, elementCount } from '../../core/dtype.js';
import { widenerOf } from '../../core/floats.js';
import { type LastSlice, type ReadBytes, type Swap, swapAxes } from './axes.js';

/** A tensor that is read when asked: elements in row-major order. */
export interface View {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly read: ReadBytes;
}

const bytesOf = ({ dtype, shape }: View) => elementCount(shape) * DTYPE_BYTES[dtype];

/** Returns the same elements in another order: two axes swapped. */
export function swapped(view: View, swap: Swap, last: LastSlice): View {
  return { ...view, read: swapAxes(view.read, bytesOf(view), swap, last) };
}

/** Returns the same elements as float32, each changed; those of vectors, which are small. */
export function mapped(view: View, change: (value: number) => number): View {
  const { dtype, read, name } = view;
  const widen = widenerOf({ id: name }, name, dtype);
  const scale = DTYPE_BYTES[dtype] / 4;
  return {
    ...view,
    dtype: 'F32',
    read: async (start, end, signal) => {
      const [first, last] = [Math.floor(start / 4), Math.ceil(end / 4)];
      const floats = widen(await read(first * 4 * scale, last * 4 * scale, signal)).map(change);
      return new Uint8Array(floats.buffer).slice(start - first * 4, end - first * 4);
    },
  };
}

/** Returns views of one element type: as they are, or all as float32. */
export function alike(views: readonly View[]): readonly View[] {
  const same = views.every(({ dtype }) => dtype === views[0]!.dtype);
  return same ? views : views.map((view) => (view.dtype === 'F32' ? view : mapped(view, (value) => value)));
}

/** Returns the part `index` of elements seen as [outer, sum of sizes, rest]: [outer, size, rest]. */
export function partOf(
  view: View,
  outer: number,
  sizes: readonly number[],
  index: number,
  shape: readonly number[],
): View {
  const unit = bytesOf(view) / (outer * sum(sizes));
  const run = sizes[index]! * unit;
  const [offset, stride] = [sum(sizes.slice(0, index)) * unit, sum(sizes) * unit];
  return {
    ...view,
    shape,
    read: (start, end, signal) =>
      pieces(start, end, run, (slice, from, to, out) =>
        copy(view.read, slice * stride + offset + from, slice * stride + offset + to, out, signal),
      ),
  };
}

/** Returns parts [outer, size, rest] joined to [outer, sum of sizes, rest]; a part that is undefined is zeros. */
export function joined(
  parts: readonly (View | undefined)[],
  outer: number,
  sizes: readonly number[],
  shape: readonly number[],
): View {
  const some = parts.find((part) => part !== undefined)!;
  const bytes = elementCount(shape) * DTYPE_BYTES[some.dtype];
  const unit = bytes / (outer * sum(sizes));
  const stride = sum(sizes) * unit;
  return {
    ...some,
    shape,
    read: (start, end, signal) =>
      pieces(start, end, stride, async (slice, from, to, out) => {
        let offset = 0;
        for (const [i, size] of sizes.entries()) {
          const run = size * unit;
          const [first, last] = [Math.max(from, offset) - offset, Math.min(to, offset + run) - offset];
          const read = parts[i]?.read;
          if (read && first < last)
            await copy(
              read,
              slice * run + first,
              slice * run + last,
              out.subarray(offset + first - from),
              signal,
            );
          offset += run;
        }
      }),
  };
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Fills bytes `start` to `end` from slices of equal length, one after another. */
async function pieces(
  start: number,
  end: number,
  sliceBytes: number,
  fill: (slice: number, from: number, to: number, out: Uint8Array) => Promise<void>,
): Promise<Uint8Array> {
  const all = new Uint8Array(end - start);
  for (let at = start; at < end; ) {
    const slice = Math.floor(at / sliceBytes);
    const sliceStart = slice * sliceBytes;
    const to = Math.min(end, sliceStart + sliceBytes);
    await fill(slice, at - sliceStart, to - sliceStart, all.subarray(at - start, to - start));
    at = to;
  }
  return all;
}

async function copy(
  read: ReadBytes,
  start: number,
  end: number,
  out: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  out.set(await read(start, end, signal));
}
