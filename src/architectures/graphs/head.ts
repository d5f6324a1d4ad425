import type { Config } from '../../core/json.js';
import type { Graph, Value } from '../../onnx/graph.js';
import type { Dimensions } from '../dimensions.js';
import { embeddingsAreTied } from '../registry.js';

/** Returns the output matrix [vocabulary, hidden]: the token embedding, unless the config unties it. */
export function outputMatrix(
  g: Graph,
  config: Config,
  { vocabulary, hiddenSize }: Dimensions,
  embedding: string,
  separate: string,
): Value {
  return g.weight(embeddingsAreTied(config) ? embedding : separate, [vocabulary, hiddenSize]);
}
