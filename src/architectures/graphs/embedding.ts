import type { Value } from '../../onnx/graph.js';
import type { Settings } from '../settings.js';
import type { Tensors } from './tensors.js';

/**
 * Builds the embedding, from token ids to hidden states [batch, sequence, hidden].
 * @param tokens [batch, sequence], int64. @param positions returns rows of the position table, [sequence] or [batch, sequence], int64.
 * @param tokenTypes [batch, sequence], int64; by default type 0 for all.
 */
export function buildEmbedding(
  tensors: Tensors,
  { vocabulary, hiddenSize, embedding }: Settings,
  tokens: Value,
  positions: () => Value,
  tokenTypes?: Value,
): Value {
  const { g } = tensors;
  const { size, scale, types, norm, project } = embedding;
  const projected = (x: Value) =>
    project ? tensors.linear('projectIn', x, hiddenSize, size, project.bias) : x;
  let x = g.gather(tensors.tensor('tokens', [vocabulary, size]), tokens);
  if (scale !== undefined) x = g.multiply(x, g.scalar(scale));
  if (!norm) x = projected(x);
  if (embedding.positions) {
    const width = norm ? size : hiddenSize;
    x = g.add(x, g.gather(tensors.tensor('positions', [embedding.positions.rows, width]), positions()));
  }
  if (types !== undefined)
    x = g.add(x, g.gather(tensors.tensor('tokenTypes', [types, size]), tokenTypes ?? g.integer(0)));
  if (!norm) return x;
  return projected(tensors.norm('embeddingNorm', x, size, norm));
}
