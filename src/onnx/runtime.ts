import type { Graph } from './graph.js';

/** A tensor of the runtime. `data` may be the caller's memory, not copied. */
export interface Tensor {
  readonly data: unknown;
  readonly dims: readonly number[];
}

export type Feeds = Readonly<Record<string, Tensor>>;

/** The outputs to compute, and where they are written: null for new memory. */
export type Outputs = Readonly<Record<string, Tensor | null>>;

/** A loaded graph. */
export interface Session {
  /** Runs the graph. Without `into`, all outputs are written to new memory. */
  run(feeds: Feeds, into?: Outputs): Promise<Feeds>;
  release(): Promise<void>;
}

/** A runtime for graphs: one of the ONNX Runtime packages. */
export interface Runtime {
  floats(data: Float32Array, shape: readonly number[]): Tensor;
  integers(data: Iterable<number>, shape: readonly number[]): Tensor;
  session(model: Uint8Array): Promise<Session>;
  /** Loads a graph together with its weights, if the runtime prefers that. The weights can be freed afterwards. */
  hold?(graph: Graph, weights: Feeds): Promise<Session>;
}

/** A runtime that also opens ONNX files from disk. */
export interface NodeRuntime extends Runtime {
  /** Loads an ONNX file, with the external data beside it. */
  file(path: string): Promise<Session>;
}

/** The part of onnxruntime-node and onnxruntime-web that is used here. */
export interface OnnxRuntime {
  readonly Tensor: new (
    type: 'float32' | 'int64',
    data: Float32Array | BigInt64Array,
    dims: readonly number[],
  ) => Tensor;
  readonly InferenceSession: {
    create(model: Uint8Array | string, options: object): Promise<Session>;
  };
}

/** Creates a runtime from an onnxruntime package. */
export function createRuntime({ Tensor, InferenceSession }: OnnxRuntime, options: object): Runtime {
  return {
    floats: (data, shape) => new Tensor('float32', data, shape),
    integers: (data, shape) => new Tensor('int64', BigInt64Array.from(data, BigInt), shape),
    session: (model) => InferenceSession.create(model, options),
  };
}

/** Returns the data of a float32 tensor without copying. */
export function floatsOf(tensor: Tensor | undefined): Float32Array {
  return tensor!.data as Float32Array;
}
