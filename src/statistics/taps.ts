import type { Graph, Value } from '../forward/onnx/graph.js';

/** Where a matrix of the checkpoint meets the values that flow through a graph. */
export interface Tap {
  /** The graph's name of the matrix. */
  readonly weight: string;
  readonly kind: 'linear' | 'embedding';
  /** What goes in: activations, or for an embedding the rows that are looked up. */
  readonly input: Value;
  /** What comes out, before any bias. */
  readonly output: Value;
  /** Stored [in, out], as GPT-2 does. */
  readonly transposed: boolean;
}

/** Every product with a matrix of the checkpoint, and every look-up in one, in the order of the graph. */
export function tapsOf(g: Graph): Tap[] {
  return g.operationNodes.flatMap(({ operation, inputs, outputs, attributes }): Tap[] => {
    const [first, second] = inputs as [string, string];
    const output = { name: outputs[0]! };
    const isMatrix = (name: string) => g.weightShape(name)?.length === 2;
    if (operation === 'Gather' && isMatrix(first))
      return [{ weight: first, kind: 'embedding', input: { name: second }, output, transposed: false }];
    if (!operation.endsWith('MatMul') || !isMatrix(second)) return [];
    return [
      { weight: second, kind: 'linear', input: { name: first }, output, transposed: attributes.transB !== 1 },
    ];
  });
}
