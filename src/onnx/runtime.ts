import type { Graph } from './graph.js';

/** A tensor in the runtime's keeping. `data` may be memory of the caller's, not copied. */
export interface Tensor {
  readonly data: unknown;
  readonly dims: readonly number[];
}

export type Feeds = Readonly<Record<string, Tensor>>;

/** A graph made ready to run. */
export interface Session {
  /** Results go into the tensors of `into`, where given, or into new ones. */
  run(feeds: Feeds, into?: Feeds): Promise<Feeds>;
  release(): Promise<void>;
}

/** What runs graphs: ONNX Runtime, whichever of its packages. */
export interface Runtime {
  floats(data: Float32Array, shape: readonly number[]): Tensor;
  integers(data: Iterable<number>, shape: readonly number[]): Tensor;
  session(model: Uint8Array): Promise<Session>;
  /** A graph with its weights, where that is better than to be given them with every run. They are not needed after. */
  hold?(graph: Graph, weights: Feeds): Promise<Session>;
}

/** The part of onnxruntime-node and onnxruntime-web that is used. */
export interface OnnxRuntime {
  readonly Tensor: new (
    type: 'float32' | 'int64',
    data: Float32Array | BigInt64Array,
    dims: readonly number[],
  ) => Tensor;
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<Session>;
  };
}

/** A runtime around an onnxruntime package. */
export function createRuntime({ Tensor, InferenceSession }: OnnxRuntime, options: object): Runtime {
  return {
    floats: (data, shape) => new Tensor('float32', data, shape),
    integers: (data, shape) => new Tensor('int64', BigInt64Array.from(data, BigInt), shape),
    session: (model) => InferenceSession.create(model, options),
  };
}

/** The numbers of a float32 tensor, not copied. */
export function floatsOf(tensor: Tensor | undefined): Float32Array {
  return tensor!.data as Float32Array;
}
