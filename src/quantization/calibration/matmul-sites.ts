import type { Binding } from '../../inference/program.js';
import type { Graph, Value } from '../../onnx/graph.js';

/** Where a matrix of the checkpoint meets the values that flow through a graph. */
export interface MatmulSite {
  /** The graph's name of the matrix. */
  readonly weight: string;
  readonly kind: 'linear' | 'embedding';
  /** What goes in: activations, or for an embedding the rows that are looked up. */
  readonly input: Value;
  /** Features that go in; rows of an embedding. */
  readonly inputSize: number;
  /** What comes out, before any bias. */
  readonly output: Value;
  readonly outputSize: number;
  /** Stored [in, out], as GPT-2 does. */
  readonly transposed: boolean;
}

/** Every product with a matrix of the checkpoint, and every look-up in one, in the order of the graph. */
export function matmulSitesOf(g: Graph): MatmulSite[] {
  return g.operationNodes.flatMap(({ operation, inputs, outputs, attributes }): MatmulSite[] => {
    const [first, second] = inputs.map((name) => ({ name, shape: g.weightShape(name) }));
    const output = { name: outputs[0]! };
    if (operation === 'Gather' && first?.shape?.length === 2) {
      const [inputSize, outputSize] = first.shape as [number, number];
      const input = { name: second!.name };
      return [
        { weight: first.name, kind: 'embedding', input, inputSize, output, outputSize, transposed: false },
      ];
    }
    if (!operation.endsWith('MatMul') || second?.shape?.length !== 2) return [];
    const transposed = attributes.transB !== 1;
    const [inputSize, outputSize] = (transposed ? second.shape : second.shape.toReversed()) as [
      number,
      number,
    ];
    const input = { name: first!.name };
    return [{ weight: second.name, kind: 'linear', input, inputSize, output, outputSize, transposed }];
  });
}

/** Returns the checkpoint's name of the tensor that fills a graph's input. */
export function tensorNameOf(bindings: readonly Binding[], weight: string): string {
  return bindings.find(({ input }) => input === weight)!.tensor.name;
}
