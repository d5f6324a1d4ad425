import type { Value } from '../../onnx/graph.js';
import { type AttentionWeights, attend, type Use } from '../attention.js';
import type { Attention } from '../settings.js';
import type { Slot } from '../slots.js';
import { normalize, type Tensors } from './tensors.js';

/** Builds attention with its projections. */
export function buildMixer(
  tensors: Tensors,
  attention: Attention,
  hiddenSize: number,
  x: Value,
  use: Use,
): Value {
  const { heads, keyValueHeads, valueSize, sinks, relative, outputBias, clip } = attention;
  const { g } = tensors;
  const [q, k, v] = project(tensors, attention, hiddenSize, x);
  const clipped = (value: Value) =>
    clip ? g.operation('Clip', [value, g.scalar(-clip), g.scalar(clip)]) : value;
  const turned = [
    clipped(normed(tensors, attention, 'qNorm', q, heads)),
    clipped(normed(tensors, attention, 'kNorm', k, keyValueHeads)),
    clipped(v),
  ] as const;
  const weights: AttentionWeights = {
    ...(sinks && { sinks: () => tensors.tensor('sinks', [heads], '') }),
    ...(relative && { relative: () => tensors.tensor('relative', [relative.buckets, heads]) }),
  };
  const mixed = attend(g, attention, turned, use, weights);
  return tensors.linear('o', mixed, hiddenSize, heads * valueSize, outputBias);
}

/** Returns queries, keys and values, [batch, sequence, ...] in any grouping of heads and features. */
function project(
  tensors: Tensors,
  attention: Attention,
  hiddenSize: number,
  x: Value,
): [Value, Value, Value] {
  const { g } = tensors;
  const { heads, keyValueHeads, headSize, valueSize, projection, bias } = attention;
  const sizes = [heads * headSize, keyValueHeads * headSize, keyValueHeads * valueSize] as const;
  const fused = () => {
    const outputs = sizes[0] + sizes[1] + sizes[2];
    return tensors.linear('qkv', x, outputs, hiddenSize, bias);
  };
  switch (projection.kind) {
    case 'separate': {
      const one = (slot: Slot, size: number) => tensors.linear(slot, x, size, hiddenSize, bias);
      return [one('q', sizes[0]), one('k', sizes[1]), one('v', sizes[2])];
    }
    case 'fused':
      return g.split(fused(), sizes, 2) as [Value, Value, Value];
    case 'grouped': {
      const queries = heads / keyValueHeads;
      const grouped = g.reshape(fused(), [0, 0, keyValueHeads, queries + 2, headSize]);
      return g.split(grouped, [queries, 1, 1], 3) as [Value, Value, Value];
    }
    case 'parts': {
      const parted = g.reshape(fused(), [0, 0, projection.parts, 3, sizes[0] / projection.parts]);
      const [q, v, k] = g.split(parted, [1, 1, 1], 3) as [Value, Value, Value];
      return [q, k, v];
    }
    case 'latent':
      return projectLatent(tensors, attention, projection, hiddenSize, x);
  }
}

/** Builds DeepSeek's latent attention, expanded to full heads; rotated features come first. */
function projectLatent(
  tensors: Tensors,
  { heads, headSize, valueSize }: Attention,
  { queryRank, rank, rotated, norm, bias }: Extract<Attention['projection'], { kind: 'latent' }>,
  hiddenSize: number,
  x: Value,
): [Value, Value, Value] {
  const { g } = tensors;
  const unrotated = headSize - rotated;
  const queries = () => {
    if (queryRank === undefined) return tensors.linear('q', x, heads * headSize, hiddenSize, false);
    const low = tensors.linear('qA', x, queryRank, hiddenSize, bias);
    return tensors.linear(
      'qB',
      tensors.norm('qANorm', low, queryRank, norm),
      heads * headSize,
      queryRank,
      false,
    );
  };
  const byHead = g.reshape(queries(), [0, 0, heads, headSize]);
  const [queryRest, queryTurned] = g.split(byHead, [unrotated, rotated], 3) as [Value, Value];
  const low = tensors.linear('kvA', x, rank + rotated, hiddenSize, bias);
  const [latent, shared] = g.split(low, [rank, rotated], 2) as [Value, Value];
  const outputs = heads * (unrotated + valueSize);
  const wide = tensors.linear('kvB', tensors.norm('kvANorm', latent, rank, norm), outputs, rank, false);
  const [keyRest, values] = g.split(
    g.reshape(wide, [0, 0, heads, unrotated + valueSize]),
    [unrotated, valueSize],
    3,
  ) as [Value, Value];
  const each = g.concat([g.operation('Shape', [keyRest], { end: 3 }), g.integers([rotated])], 0);
  const keyTurned = g.expand(g.reshape(shared, [0, 0, 1, rotated]), each, [2]);
  return [g.concat([queryTurned, queryRest], 3), g.concat([keyTurned, keyRest], 3), values];
}

/** Adds the norm of queries or keys. */
function normed(
  tensors: Tensors,
  { queryKeyNorm, headSize }: Attention,
  slot: 'qNorm' | 'kNorm',
  x: Value,
  heads: number,
): Value {
  if (!queryKeyNorm) return x;
  const { g } = tensors;
  const { over, norm } = queryKeyNorm;
  if (over === 'all') return tensors.norm(slot, x, heads * headSize, norm);
  const byHead = g.reshape(x, [0, 0, heads, headSize]);
  if (over === 'head') return tensors.norm(slot, byHead, headSize, norm);
  // a norm without weights, times those of each head
  const ones = g.vector(new Array(headSize).fill(1));
  const plain = normalize(g, byHead, { ...norm, bias: false }, { weight: ones });
  const weights =
    over === 'eachHead'
      ? tensors.tensor(slot, [heads, headSize])
      : g.concat(
          Array.from({ length: heads }, (_, head) =>
            g.reshape(g.weight(`${tensors.nameOf(slot)}.norms.${head}.weight`, [headSize]), [1, headSize]),
          ),
          0,
        );
  const all = g.expand(g.reshape(weights, [1, 1, heads, headSize]), g.operation('Shape', [plain]), [0, 1]);
  return g.multiply(plain, all);
}
