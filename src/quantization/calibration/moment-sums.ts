import { type Feeds, floatsOf, type Runtime, type Session } from '../../onnx/runtime.js';
import type { GraphMoments, Moment } from './backward-graph.js';
import { mirror } from './symmetric.js';

/** Second moments summed over batches. Each has two arrays: a graph reads one and writes the other. */
export class MomentSums {
  private readonly moments: readonly Moment[];
  private sums: Feeds;
  private spares: Feeds;
  private readonly means = new Map<Moment, Float32Array>();

  /** @param before finished sums of the same moments: half of their memory is reused. */
  constructor(runtime: Runtime, { sites, chosen }: GraphMoments, before?: MomentSums) {
    const found = [...sites.flatMap(({ inputs, outputs }) => [inputs, outputs]), chosen];
    this.moments = [...new Set(found.filter((moment) => moment !== undefined))];
    const zeros = () =>
      Object.fromEntries(
        this.moments.map(({ output, size }) => [
          output,
          runtime.floats(new Float32Array(size * size), [size, size]),
        ]),
      );
    this.sums = zeros();
    // those of the same graph are written before they are read
    this.spares = before && sameSizes(before.moments, this.moments) ? before.spares : zeros();
  }

  /** Runs a graph on one more batch. @param into receives its other outputs. */
  async add(run: Session['run'], feeds: Feeds, into: Feeds): Promise<void> {
    const before = Object.fromEntries(this.moments.map(({ output, before }) => [before, this.sums[output]!]));
    await run({ ...feeds, ...before }, { ...into, ...this.spares });
    [this.sums, this.spares] = [this.spares, this.sums];
  }

  /**
   * Returns the mean, [size, size], exactly symmetric: the sum over `count`, or over the tokens' weights. Further calls return the
   * same array. No batches may be added afterwards.
   */
  mean(moment: Moment, count: number): Float32Array {
    const known = this.means.get(moment);
    if (known) return known;
    const { weighting } = moment;
    const total = weighting ? trace(this.mean(weighting, count), weighting.size) * count : count;
    const values = floatsOf(this.sums[moment.output]);
    for (let i = 0; i < values.length; i++) values[i]! /= total || 1;
    mirror(values, moment.size);
    this.means.set(moment, values);
    return values;
  }
}

function sameSizes(a: readonly Moment[], b: readonly Moment[]): boolean {
  return (
    a.length === b.length && a.every(({ output, size }, i) => output === b[i]!.output && size === b[i]!.size)
  );
}

/** Computes the trace: for moments of gradients, their squared length. */
function trace(matrix: Float32Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += matrix[i * size + i]!;
  return sum;
}
