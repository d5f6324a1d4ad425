import type { Graph, Value } from '../../onnx/graph.js';
import type { Dimensions } from '../dimensions.js';
import type { Config } from '../forward.js';
import { embeddingsAreTied } from '../registry.js';

/** The matrix [vocabulary, hidden] that gives logits: the token embedding, unless the config unties it. */
export function outputMatrix(
  g: Graph,
  config: Config,
  { vocabulary, hiddenSize }: Dimensions,
  embedding: string,
  separate: string,
): Value {
  return g.weight(embeddingsAreTied(config) ? embedding : separate, [vocabulary, hiddenSize]);
}
