import type { Feeds } from '../../onnx/runtime.js';
import type { Moment } from './backward-graph.js';
import type { MomentProducts } from './moment-products.js';
import { mirror } from './symmetric.js';

/** Second moments summed over batches. Each has two arrays: a product reads one and writes the other. */
export class MomentSums {
  private readonly sums: Map<Moment, Float32Array>;
  private readonly spares = new Map<number, Float32Array>();
  private readonly means = new Map<Moment, Float32Array>();

  /** @param before finished sums, whose spare memory is reused. */
  constructor(
    private readonly products: MomentProducts,
    moments: readonly Moment[],
    before?: MomentSums,
  ) {
    this.sums = new Map(moments.map((moment) => [moment, new Float32Array(moment.size ** 2)]));
    for (const { size } of moments) {
      const spare = before?.spares.get(size);
      if (spare) this.spares.set(size, spare);
    }
  }

  /** Adds one more batch. @param values outputs of the moments' graph. */
  async add(values: Feeds): Promise<void> {
    for (const [moment, sum] of this.sums) {
      const after = this.spares.get(moment.size) ?? new Float32Array(sum.length);
      await this.products.add(moment, values, sum, after);
      this.sums.set(moment, after);
      this.spares.set(moment.size, sum);
    }
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
    const values = this.sums.get(moment)!;
    for (let i = 0; i < values.length; i++) values[i]! /= total || 1;
    mirror(values, moment.size);
    this.means.set(moment, values);
    return values;
  }
}

/** Computes the trace: for moments of gradients, their squared length. */
function trace(matrix: Float32Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += matrix[i * size + i]!;
  return sum;
}
