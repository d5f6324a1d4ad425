import { BLOCK_INPUTS } from '../architectures/attention.js';
import type { ForwardPlan } from '../architectures/forward.js';
import { bucketing, HIDDEN } from '../architectures/masks.js';
import type { Rotary } from '../architectures/rotary.js';
import {
  type Attention,
  type DistanceBias,
  isAttention,
  type LayerPositions,
} from '../architectures/settings.js';
import { InputError } from '../core/errors.js';
import type { Value } from '../onnx/graph.js';
import type { ModelGraph } from './model-graph.js';

/** Largest table of scores by head and distance. */
const MAX_BIASES = 2 ** 24;

/** Values that the graph of a whole model computes once. */
export interface SequenceInputs {
  /** [batch, sequence] */
  readonly tokens: Value;
  /** [batch, keys]: 0 for padding. */
  readonly attentionMask: Value;
  /** [batch, sequence] */
  readonly positions: () => Value;
}

/**
 * Computes in the graph what layers take as inputs that depend on positions: masks, rotary tables, buckets of distances. Layers with the
 * same positions share them.
 */
export class PositionValues {
  private readonly known = new Map<unknown, Readonly<Record<string, Value>>>();
  private distances: { readonly ahead: Value; readonly back: Value } | undefined;

  constructor(
    private readonly g: ModelGraph,
    private readonly plan: ForwardPlan,
    private readonly inputs: SequenceInputs,
  ) {}

  /** Returns the values of a layer's inputs. @throws {InputError} for positions that a graph of any length cannot have. */
  of(layer: number): Record<string, Value> {
    const { mixer } = this.plan.layers[layer]!;
    const positions = this.plan.positions[layer]!;
    if (!isAttention(mixer)) return {};
    const { rotary, bias, window } = positions;
    const { relative } = mixer;
    return {
      ...(rotary && mixer.rotary && this.once(rotary, () => this.rotary(rotary))),
      ...this.once(bias ?? `mask ${window}`, () => ({ [BLOCK_INPUTS.mask]: this.mask(mixer, positions) })),
      ...(relative && this.once('buckets', () => this.buckets(relative.buckets, positions.maxDistance!))),
    };
  }

  private once(key: unknown, make: () => Readonly<Record<string, Value>>) {
    const found = this.known.get(key) ?? make();
    this.known.set(key, found);
    return found;
  }

  /** Cosines and sines, [batch, 1, 1, sequence, size / 2]. */
  private rotary(rotary: Rotary): Readonly<Record<string, Value>> {
    const { g } = this;
    const positions = g.cast(g.operation('Unsqueeze', [this.inputs.positions(), g.integers([1, 2, 4])]));
    const angles = g.multiply(positions, this.frequencies(rotary));
    const scaled = (x: Value) => (rotary.magnitude === 1 ? x : g.multiply(x, g.scalar(rotary.magnitude)));
    return {
      [BLOCK_INPUTS.cosines]: scaled(g.operation('Cos', [angles])),
      [BLOCK_INPUTS.sines]: scaled(g.operation('Sin', [angles])),
    };
  }

  /** Radians per position; of longrope by the length of the sequence. */
  private frequencies({ scaling, frequencies }: Rotary): Value {
    const { g } = this;
    if (scaling.type === 'dynamic')
      throw new InputError(
        'config.json: rotary frequencies of type dynamic change with the length, which an ONNX graph does not do',
      );
    const vector = (length?: number) => g.vector([...frequencies(length)]);
    if (scaling.type !== 'longrope') return vector();
    const { originalPositions } = scaling;
    const last = g.operation('ReduceMax', [this.inputs.positions()], { keepdims: 0 });
    const isLong = g.operation('GreaterOrEqual', [last, g.integer(originalPositions)]);
    return g.operation('Where', [isLong, vector(originalPositions + 1), vector(originalPositions)]);
  }

  /** Distances from queries to keys, [sequence, keys]: ahead of the query, and back. */
  private get distance() {
    this.distances ??= this.computeDistances();
    return this.distances;
  }

  private computeDistances() {
    const { g } = this;
    const { tokens, attentionMask } = this.inputs;
    const lengthOf = (x: Value) => g.reshape(g.operation('Shape', [x], { start: 1, end: 2 }), []);
    const total = lengthOf(attentionMask);
    const past = g.subtract(total, lengthOf(tokens));
    const range = (start: Value) => g.operation('Range', [start, total, g.integer(1)]);
    const queries = g.reshape(range(past), [-1, 1]);
    const keys = range(g.integer(0));
    return { ahead: g.subtract(keys, queries), back: g.subtract(queries, keys) };
  }

  /** Scores to add, [batch, 1, 1, sequence, keys], or with a bias [batch, key heads, queries per key head, sequence, keys]. */
  private mask(attention: Attention, { window, bias }: LayerPositions): Value {
    const { g } = this;
    const { causal, heads, keyValueHeads } = attention;
    const { ahead, back } = this.distance;
    const unpadded = g.reshape(this.inputs.attentionMask, [0, 1, 1, 1, -1]);
    const conditions = [g.operation('Greater', [unpadded, g.integer(0)])];
    if (causal) conditions.push(g.operation('GreaterOrEqual', [back, g.integer(0)]));
    if (window !== undefined) {
      conditions.push(g.operation('Less', [back, g.integer(window)]));
      if (!causal) conditions.push(g.operation('Less', [ahead, g.integer(window)]));
    }
    const isSeen = conditions.reduce((both, one) => g.operation('And', [both, one]));
    const mask = g.operation('Where', [isSeen, g.scalar(0), g.scalar(HIDDEN)]);
    if (!bias) return mask;
    const scores = g.transpose(this.biases(bias), [1, 0, 2]);
    return g.add(mask, g.reshape(scores, [0, keyValueHeads, heads / keyValueHeads, 1, -1]));
  }

  /** The scores of keys for each head, [heads, batch, keys], but for a number that all keys of a query share, which a softmax does not see. */
  private biases(bias: DistanceBias): Value {
    const { g } = this;
    const { context } = this.plan;
    if (context * bias.heads > MAX_BIASES)
      throw new InputError(`penalties of ${context} positions for ${bias.heads} heads are too large a table`);
    const table = Array.from({ length: bias.heads * context }, (_, i) =>
      bias.of(Math.floor(i / context), i % context, 0),
    );
    const counted = g.operation('CumSum', [this.inputs.attentionMask, g.integer(1)]);
    const places = g.operation('Clip', [
      g.subtract(counted, g.integer(1)),
      g.integer(0),
      g.integer(context - 1),
    ]);
    return g.operation('Gather', [g.reshape(g.vector(table), [bias.heads, context]), places], { axis: 1 });
  }

  /** The bucket of each distance, [sequence, keys]. */
  private buckets(buckets: number, maxDistance: number): Readonly<Record<string, Value>> {
    const { g } = this;
    const { context } = this.plan;
    const bucketOf = bucketing(buckets, maxDistance);
    const table = g.integers(Array.from({ length: 2 * context - 1 }, (_, i) => bucketOf(i - context + 1)));
    const places = g.add(this.distance.ahead, g.integer(context - 1));
    return { [BLOCK_INPUTS.buckets]: g.operation('Gather', [table, places]) };
  }
}
