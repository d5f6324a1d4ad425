import type { Graph, Value } from '../../onnx/graph.js';
import type { Norm } from '../settings.js';
import { MODEL_SLOTS, type Names, type Slot } from '../slots.js';

/** The tensors of a family in a graph, by what they are for. */
export class Tensors {
  constructor(
    readonly g: Graph,
    private readonly names: Names,
    /** Whether matrices are stored [inputs, outputs]. */
    private readonly columns = false,
  ) {}

  /** Returns the tensor of a slot. @param ending of its name: `.weight`, `.bias`, or nothing. */
  tensor(slot: Slot, shape: readonly number[], ending = '.weight'): Value {
    return this.g.weight(this.nameOf(slot) + ending, shape, { ofModel: MODEL_SLOTS.has(slot) });
  }

  /** Adds a linear layer. */
  linear(slot: Slot, x: Value, outputs: number, inputs: number, bias: boolean): Value {
    const { g } = this;
    const product = this.columns
      ? g.matmul(x, this.tensor(slot, [inputs, outputs]))
      : g.matmulTransposed(x, this.tensor(slot, [outputs, inputs]));
    return bias ? g.add(product, this.tensor(slot, [outputs], '.bias')) : product;
  }

  /** Adds a norm over the last axis. */
  norm(slot: Slot, x: Value, size: number, norm: Norm): Value {
    return normalize(this.g, x, norm, {
      weight: this.tensor(slot, [size]),
      bias: norm.bias ? this.tensor(slot, [size], '.bias') : undefined,
    });
  }

  /** Returns the name of a slot, without ending. */
  nameOf(slot: Slot): string {
    const name = this.names[slot];
    if (name === undefined) throw new Error(`the family has no name for ${slot}`);
    return name;
  }
}

/** Adds a norm over the last axis with given weights. */
export function normalize(
  g: Graph,
  x: Value,
  { kind, epsilon, plusOne }: Norm,
  { weight, bias }: { readonly weight: Value; readonly bias?: Value | undefined },
): Value {
  if (kind === 'layer') return g.layerNorm(x, weight, bias, epsilon);
  const normed = g.rms(x, epsilon);
  const scaled = g.multiply(normed, weight);
  return plusOne ? g.add(normed, scaled) : scaled;
}
