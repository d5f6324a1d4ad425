import type { Statistics, TensorMoments } from '../quantization/calibration/statistics.js';
import { storedRows } from '../quantization/calibration/statistics-format.js';
import { mirror, triangleLength } from '../quantization/calibration/symmetric.js';
import type { Packed } from '../stores/checked.js';
import type { Store } from '../stores/store.js';
import { type Result, readResult } from './results.js';

/** What the result of a job of moments says. */
export interface MomentsHeader extends Record<string, unknown> {
  readonly tensors: readonly (Pick<TensorMoments, 'kind' | 'transposed'> & {
    readonly name: string;
    /** Rows and columns of each side that is symmetric; its upper triangle is stored. */
    readonly sizes: readonly (number | null)[];
  })[];
  /** Tokens of the expert that the fewest passed; null without experts. */
  readonly fewest: number | null;
}

/** Returns statistics as a job stores them: upper triangles. */
export function packTensorMoments(
  found: readonly (readonly [name: string, TensorMoments])[],
  fewest: number,
): Result {
  const tensors = found.map(([name, { kind, transposed, inputs, outputs }]) => ({
    name,
    kind,
    transposed,
    sizes: [Math.sqrt(inputs.length), kind === 'linear' ? Math.sqrt(outputs.length) : null],
  }));
  const arrays = found.flatMap(([, { inputs, outputs }], i) =>
    [inputs, outputs].map((values, side) => triangleOf(values, tensors[i]!.sizes[side]!)),
  );
  return {
    header: { tensors, fewest: Number.isFinite(fewest) ? fewest : null } satisfies MomentsHeader,
    arrays,
  };
}

/** Returns the statistics in a job's result. */
export function unpackTensorMoments({ header, arrays }: Packed): Map<string, TensorMoments> {
  const { tensors } = header as MomentsHeader;
  return new Map(
    tensors.map(({ name, kind, transposed, sizes }, i) => {
      const [inputs, outputs] = sizes.map((size, side) =>
        squareOf(arrays[2 * i + side] as Float32Array, size),
      );
      return [name, { kind, transposed, inputs: inputs!, outputs: outputs! }];
    }),
  );
}

/** Statistics that jobs have stored. */
export class StoredStatistics implements Statistics {
  /** @param jobs of each tensor, the head's first. */
  constructor(
    private readonly store: Store,
    readonly tokens: number,
    readonly jobs: Readonly<Record<string, readonly string[]>>,
  ) {}

  async tensor(name: string): Promise<readonly TensorMoments[]> {
    const found: TensorMoments[] = [];
    for (const key of this.jobs[name] ?? [])
      found.push(unpackTensorMoments(await readResult(this.store, 'moments', key)).get(name)!);
    return found;
  }
}

function triangleOf(values: Float32Array, size: number | null): Float32Array {
  if (size === null) return values;
  const triangle = new Float32Array(triangleLength(size));
  let at = 0;
  for (const row of storedRows(values, size, true)) {
    triangle.set(row, at);
    at += row.length;
  }
  return triangle;
}

function squareOf(stored: Float32Array, size: number | null): Float32Array {
  if (size === null) return stored;
  const values = new Float32Array(size * size);
  let at = 0;
  for (const row of storedRows(values, size, true)) {
    row.set(stored.subarray(at, at + row.length));
    at += row.length;
  }
  mirror(values, size);
  return values;
}
