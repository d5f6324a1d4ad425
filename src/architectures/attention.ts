import type { Graph, Value } from '../onnx/graph.js';
import type { Attention } from './settings.js';

/** How a layer's graph is to be used. */
export interface Use {
  /** Whether the block takes a KV cache as an input, and returns it with the new keys and values appended. */
  readonly cached?: boolean;
  /** Length of the sequence, if known and without a cache; attention then takes less memory. */
  readonly length?: number;
  /** Which tokens are no padding, [batch, sequence, 1], where there may be some; masks then hide the others from attention. */
  readonly unpadded?: Value;
}

/** Names of a block's inputs and outputs that are not weights. */
export const BLOCK_INPUTS = {
  hidden: 'hidden',
  hiddenOut: 'hidden_out',
  /** Added to the scores, [sequence, keys] or [key heads, queries per key head, sequence, keys]: a large negative number hides a key. */
  mask: 'mask',
  /** [sequence, rotary size / 2] */
  cosines: 'cosines',
  sines: 'sines',
  /** Bucket of each distance, [sequence, keys], int64. */
  buckets: 'buckets',
  /** [batch, key heads, 1, keys, head size] */
  pastKeys: 'past_keys',
  pastValues: 'past_values',
  keysOut: 'keys_out',
  valuesOut: 'values_out',
} as const;

/** The parts of attention that are tensors of the checkpoint. */
export interface AttentionWeights {
  /** Score of each head that takes attention from all keys, [heads]. */
  readonly sinks?: () => Value;
  /** Learned scores by bucket, [buckets, heads]. */
  readonly relative?: () => Value;
}

/**
 * Builds multi-head attention. Queries, keys and values are [batch, sequence, ...], followed by heads and features in any grouping of
 * dimensions; the result is [batch, sequence, heads x value size]. Inside, tensors are [batch, key heads, queries per key head, sequence,
 * features]: with grouped queries, the product broadcasts over the third axis without copies.
 */
export function attend(
  g: Graph,
  attention: Attention,
  [queries, keys, values]: readonly [Value, Value, Value],
  use: Use,
  weights: AttentionWeights = {},
): Value {
  const { heads, keyValueHeads, headSize, valueSize, rotary } = attention;
  const split = (x: Value, queriesPerKey: number, size: number) =>
    g.transpose(g.reshape(x, [0, 0, keyValueHeads, queriesPerKey, size]), [0, 2, 3, 1, 4]);
  const turn = (x: Value) => (rotary ? rotate(g, x, rotary, headSize) : x);
  const q = turn(split(queries, heads / keyValueHeads, headSize));
  let k = turn(split(keys, 1, headSize));
  let v = split(values, 1, valueSize);
  if (use.cached) {
    const cache = (name: string, size: number, keys: string) =>
      [name, ['batch', keyValueHeads, 1, keys, size]] as const;
    k = g.concat([g.input(...cache(BLOCK_INPUTS.pastKeys, headSize, 'past')), k], 3);
    v = g.concat([g.input(...cache(BLOCK_INPUTS.pastValues, valueSize, 'past')), v], 3);
    const [keysOut, keysShape] = cache(BLOCK_INPUTS.keysOut, headSize, 'keys');
    const [valuesOut, valuesShape] = cache(BLOCK_INPUTS.valuesOut, valueSize, 'keys');
    g.output(keysOut, k, keysShape);
    g.output(valuesOut, v, valuesShape);
  }
  const mixed = mix(g, attention, [q, k, v], use, weights);
  return g.reshape(g.transpose(mixed, [0, 3, 1, 2, 4]), [0, 0, heads * valueSize]);
}

/** Number of queries whose scores are in memory at a time. */
const QUERY_BLOCK = 512;

/**
 * Computes softmax(scale q k + mask) v. Causal queries are processed in blocks without the keys after them, which takes 5/8 of the work
 * and a quarter of the memory for windows of 2048.
 */
function mix(
  g: Graph,
  attention: Attention,
  [q, k, v]: readonly [Value, Value, Value],
  { length = 0, unpadded }: Use,
  weights: AttentionWeights,
): Value {
  const { scale, softcap, causal } = attention;
  const scores = (queries: Value, keys: Value) => {
    const raw = g.matmulTransposed(queries, keys, softcap ? scale / softcap : scale);
    return softcap ? g.multiply(g.operation('Tanh', [raw]), g.scalar(softcap)) : raw;
  };
  const weigh = (scores: Value, values: Value) => g.matmul(shares(g, scores, attention, weights), values);
  if (!needsMask(attention) && !unpadded) return weigh(scores(q, k), v);
  const mask = maskOf(g, attention, weights);
  if (!causal || length <= QUERY_BLOCK) return weigh(g.add(scores(q, k), mask), v);
  const lengths = Array.from({ length: Math.ceil(length / QUERY_BLOCK) }, (_, i) =>
    Math.min(QUERY_BLOCK, length - i * QUERY_BLOCK),
  );
  const blocks = g.split(q, lengths, 3).map((queries, i) => {
    const start = i * QUERY_BLOCK;
    const end = start + lengths[i]!;
    const seen = g.slice(g.slice(mask, start, end, -2), 0, end, -1);
    return weigh(g.add(scores(queries, g.slice(k, 0, end, 3)), seen), g.slice(v, 0, end, 3));
  });
  return g.concat(blocks, 3);
}

/** Returns whether a mask is an input of the graph: for causality, windows, and penalties of distance. */
export function needsMask({ causal, masked }: Attention): boolean {
  return causal || masked === true;
}

function maskOf(g: Graph, attention: Attention, { relative }: AttentionWeights): Value {
  const { heads, keyValueHeads, maskByHead } = attention;
  const byHeadShape = maskByHead ? [keyValueHeads, heads / keyValueHeads] : [];
  const mask = g.input(BLOCK_INPUTS.mask, [...byHeadShape, 'sequence', 'keys']);
  if (!relative) return mask;
  const learned = g.gather(relative(), g.input(BLOCK_INPUTS.buckets, ['sequence', 'keys'], 'int64'));
  const byHead = g.transpose(learned, [2, 0, 1]);
  const sizes = g.concat(
    [g.integers([1, keyValueHeads, heads / keyValueHeads]), g.operation('Shape', [byHead], { start: 1 })],
    0,
  );
  return g.add(g.operation('Reshape', [byHead, sizes]), mask);
}

/** Computes the softmax of scores, [..., keys]; a sink is one more key that nothing is read from. */
function shares(
  g: Graph,
  scores: Value,
  { heads, keyValueHeads }: Attention,
  { sinks }: AttentionWeights,
): Value {
  if (!sinks) return g.softmax(scores);
  const own = g.reshape(sinks(), [1, keyValueHeads, heads / keyValueHeads, 1, 1]);
  const each = g.concat([g.operation('Shape', [scores], { end: 4 }), g.integers([1])], 0);
  const all = g.softmax(g.concat([scores, g.expand(own, each, [0, 3])], 4));
  return g.slice(all, 0, -1, 4);
}

/** Rotates pairs of each head's first `size` features: (i, i + size / 2), or neighbors, which are brought into that order first. */
function rotate(
  g: Graph,
  x: Value,
  { size, pairs }: NonNullable<Attention['rotary']>,
  headSize: number,
): Value {
  const half = size / 2;
  const cosines = g.input(BLOCK_INPUTS.cosines, ['sequence', half]);
  const sines = g.input(BLOCK_INPUTS.sines, ['sequence', half]);
  const rest = headSize - size;
  const [a, b, unchanged] =
    pairs === 'halves'
      ? (g.split(x, rest ? [half, half, rest] : [half, half], 4) as [Value, Value, Value?])
      : neighbors(g, x, half, rest);
  const turned = [
    g.subtract(g.multiply(a, cosines), g.multiply(b, sines)),
    g.add(g.multiply(b, cosines), g.multiply(a, sines)),
  ];
  return g.concat(unchanged ? [...turned, unchanged] : turned, 4);
}

/** Splits off features 0, 2, 4 ... and 1, 3, 5 ...; queries and keys may be permuted alike. */
function neighbors(g: Graph, x: Value, half: number, rest: number): [Value, Value, Value?] {
  const [rotated, unchanged] = rest ? (g.split(x, [2 * half, rest], 4) as [Value, Value]) : [x];
  const pairs = g.transpose(g.reshape(rotated, [0, 0, 0, 0, half, 2]), [0, 1, 2, 3, 5, 4]);
  const [a, b] = g.split(g.reshape(pairs, [0, 0, 0, 0, 2 * half]), [half, half], 4) as [Value, Value];
  return unchanged ? [a, b, unchanged] : [a, b];
}
