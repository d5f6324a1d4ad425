import { BLOCK_INPUTS } from '../../architectures/attention.js';
import type { Binding } from '../../inference/program.js';
import type { Graph, Value } from '../../onnx/graph.js';

/** A place in a graph where a matrix of the checkpoint is multiplied or looked up. */
export interface MatmulSite {
  /** The graph's name of the matrix. */
  readonly weight: string;
  readonly kind: 'linear' | 'embedding';
  /** The input: activations, or row indices for an embedding. */
  readonly input: Value;
  /** Number of input features; for an embedding, number of rows. */
  readonly inputSize: number;
  /** The output, before any bias. */
  readonly output: Value;
  readonly outputSize: number;
  /** True if the matrix is stored [in, out], as in GPT-2. */
  readonly transposed: boolean;
  /** The expert that the matrix belongs to; only the tokens that chose it are inputs. */
  readonly expert: number | undefined;
  /** Whether the matrix is a part of a tensor with those of all experts. */
  readonly stacked: boolean;
}

/** Returns all products with a matrix of the checkpoint and all look-ups in one, in the order of the graph. */
export function matmulSitesOf(g: Graph): MatmulSite[] {
  return g.operationNodes.flatMap(({ operation, inputs, outputs, attributes }): MatmulSite[] => {
    const [first, second] = inputs.map((name) => ({ name, shape: g.weightShape(name) }));
    const output = { name: outputs[0]! };
    // scores by distance are looked up by buckets; their table is too small to be quantized
    if (operation === 'Gather' && first?.shape?.length === 2 && second!.name !== BLOCK_INPUTS.buckets) {
      const [inputSize, outputSize] = first.shape as [number, number];
      const input = { name: second!.name };
      return [
        {
          weight: first.name,
          kind: 'embedding',
          input,
          inputSize,
          output,
          outputSize,
          transposed: false,
          expert: undefined,
          stacked: false,
        },
      ];
    }
    if (!operation.endsWith('MatMul') || second?.shape?.length !== 2) return [];
    const transposed = attributes.transB !== 1;
    const [inputSize, outputSize] = (transposed ? second.shape : second.shape.toReversed()) as [
      number,
      number,
    ];
    const input = { name: first!.name };
    const { expert, part } = g.weightOf(second.name)!;
    const stacked = part !== undefined;
    return [
      {
        weight: second.name,
        kind: 'linear',
        input,
        inputSize,
        output,
        outputSize,
        transposed,
        expert,
        stacked,
      },
    ];
  });
}

/** Returns the checkpoint's name of the tensor that fills a graph's input. */
export function tensorNameOf(bindings: readonly Binding[], weight: string): string {
  return bindings.find(({ input }) => input === weight)!.tensor.name;
}
