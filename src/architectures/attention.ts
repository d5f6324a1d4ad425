import type { Graph, Value } from '../onnx/graph.js';
import type { Dimensions } from './dimensions.js';

/**
 * Multi-head attention. Queries, keys and values are [batch, sequence, ...], followed by heads and features in any grouping of
 * dimensions; the result is [batch, sequence, heads x head size]. `scale` multiplies the scores; by default 1 / sqrt(head size).
 */
export type Attend = (queries: Value, keys: Value, values: Value, scale?: number) => Value;

export interface AttentionOptions {
  readonly causal: boolean;
  /** Number of a head's features with rotary positions; 0 for none. */
  readonly rotarySize: number;
  /** Whether the block takes a KV cache as an input, and returns it with the new keys and values appended. */
  readonly cached?: boolean;
  /** Length of the sequence, if known and without a cache; attention then takes less memory. */
  readonly length?: number;
}

/** Names of a block's inputs and outputs that are not weights. */
export const BLOCK_INPUTS = {
  hidden: 'hidden',
  hiddenOut: 'hidden_out',
  /** Added to the scores, [sequence, keys]: 0 where a query attends to a key, else a large negative number. */
  mask: 'mask',
  /** [sequence, rotary size / 2] */
  cosines: 'cosines',
  sines: 'sines',
  /** [batch, key heads, 1, keys, head size] */
  pastKeys: 'past_keys',
  pastValues: 'past_values',
  keysOut: 'keys_out',
  valuesOut: 'values_out',
} as const;

/**
 * Returns the attention of a block graph. Inside, tensors are [batch, key heads, queries per key head, sequence, features]: with grouped
 * queries, the product broadcasts over the third axis without copies.
 */
export function attentionOf(g: Graph, size: Dimensions, options: AttentionOptions): Attend {
  const { heads, keyValueHeads, headSize } = size;
  const split = (x: Value, queriesPerKey: number) =>
    g.transpose(g.reshape(x, [0, 0, keyValueHeads, queriesPerKey, headSize]), [0, 2, 3, 1, 4]);
  const turn = (x: Value) => (options.rotarySize ? rotate(g, x, options.rotarySize, headSize) : x);
  return (queries, keys, values, scale = 1 / Math.sqrt(headSize)) => {
    const q = turn(split(queries, heads / keyValueHeads));
    let k = turn(split(keys, 1));
    let v = split(values, 1);
    if (options.cached) {
      const shape = ['batch', keyValueHeads, 1, 'past', headSize];
      k = g.concat([g.input(BLOCK_INPUTS.pastKeys, shape), k], 3);
      v = g.concat([g.input(BLOCK_INPUTS.pastValues, shape), v], 3);
      const shapeOut = ['batch', keyValueHeads, 1, 'keys', headSize];
      g.output(BLOCK_INPUTS.keysOut, k, shapeOut);
      g.output(BLOCK_INPUTS.valuesOut, v, shapeOut);
    }
    const mixed = mix(g, q, k, v, scale, options);
    return g.reshape(g.transpose(mixed, [0, 3, 1, 2, 4]), [0, 0, heads * headSize]);
  };
}

/** Number of queries whose scores are in memory at a time. */
const QUERY_BLOCK = 512;

/**
 * Computes softmax(scale q k + mask) v. Causal queries are processed in blocks without the keys after them, which takes 5/8 of the work
 * and a quarter of the memory for windows of 2048.
 */
function mix(g: Graph, q: Value, k: Value, v: Value, scale: number, options: AttentionOptions): Value {
  const weigh = (scores: Value, values: Value) => g.matmul(g.softmax(scores), values);
  if (!options.causal) return weigh(g.matmulTransposed(q, k, scale), v);
  const mask = g.input(BLOCK_INPUTS.mask, ['sequence', 'keys']);
  const { length = 0 } = options;
  if (length <= QUERY_BLOCK) return weigh(g.add(g.matmulTransposed(q, k, scale), mask), v);
  const lengths = Array.from({ length: Math.ceil(length / QUERY_BLOCK) }, (_, i) =>
    Math.min(QUERY_BLOCK, length - i * QUERY_BLOCK),
  );
  const blocks = g.split(q, lengths, 3).map((queries, i) => {
    const start = i * QUERY_BLOCK;
    const end = start + lengths[i]!;
    const scores = g.matmulTransposed(queries, g.slice(k, 0, end, 3), scale);
    const seen = g.slice(g.slice(mask, start, end, 0), 0, end, 1);
    return weigh(g.add(scores, seen), g.slice(v, 0, end, 3));
  });
  return g.concat(blocks, 3);
}

/** Rotates the pairs (i, i + size / 2) of each head's first `size` features: the rotate-half layout. */
function rotate(g: Graph, x: Value, size: number, headSize: number): Value {
  const half = size / 2;
  const cosines = g.input(BLOCK_INPUTS.cosines, ['sequence', half]);
  const sines = g.input(BLOCK_INPUTS.sines, ['sequence', half]);
  const rest = headSize - size;
  const [a, b, unchanged] = g.split(x, rest ? [half, half, rest] : [half, half], 4) as [Value, Value, Value?];
  const turned = [
    g.subtract(g.multiply(a, cosines), g.multiply(b, sines)),
    g.add(g.multiply(b, cosines), g.multiply(a, sines)),
  ];
  return g.concat(unchanged ? [...turned, unchanged] : turned, 4);
}

/**
 * Returns the mask [end - start, end] of queries at positions `start` to `end` over keys 0 to `end`. A query attends to the last
 * `window` keys up to its own.
 */
export function causalMask(start: number, end: number, window = end): Float32Array {
  // finite, so that a row without any key does not become NaN
  const mask = new Float32Array((end - start) * end).fill(-1e30);
  for (let query = start; query < end; query++) {
    const row = (query - start) * end;
    mask.fill(0, row + Math.max(0, query + 1 - window), row + query + 1);
  }
  return mask;
}
