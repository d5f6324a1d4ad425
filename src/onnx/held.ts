import type { Graph } from './graph.js';
import { type Feeds, floatsOf, type OnnxRuntime, type Session } from './runtime.js';

/** Loads a graph into onnxruntime's WebAssembly together with its weights, which are copied into its memory. */
export function holdWeights(
  { InferenceSession }: OnnxRuntime,
  options: object,
  graph: Graph,
  weights: Feeds,
): Promise<Session> {
  const externalData = Object.entries(weights).map(([path, tensor]) => {
    const { buffer, byteOffset, byteLength } = floatsOf(tensor);
    return { path, data: new Uint8Array(buffer, byteOffset, byteLength) };
  });
  return InferenceSession.create(graph.encode({ externalWeights: true }), { ...options, externalData });
}
