import {
  createRuntime,
  type OnnxRuntime,
  type Runtime,
  type Session,
  type Tensor,
} from '../forward/runtime.js';

export type Device = 'wasm' | 'webgpu';

/** The part of onnxruntime-web that is used: the module itself, as imported. */
export interface OnnxRuntimeWeb {
  readonly Tensor: unknown;
  readonly InferenceSession: unknown;
  readonly env: {
    readonly wasm: { numThreads?: number | undefined };
    readonly webgpu?: { readonly device?: unknown };
  };
}

/** The parts of WebGPU that hold weights. */
interface GpuBuffer {
  getMappedRange(): ArrayBuffer;
  unmap(): void;
  destroy(): void;
}
interface GpuDevice {
  createBuffer(of: { size: number; usage: number; mappedAtCreation: boolean }): GpuBuffer;
}
type FromGpuBuffer = (buffer: GpuBuffer, of: { dataType: 'float32'; dims: readonly number[] }) => Tensor;

/** GPUBufferUsage: STORAGE, COPY_SRC, COPY_DST. */
const WEIGHT_USAGE = 0x80 | 4 | 8;

/** Further threads wait for each other more than they help. */
const MOST_THREADS = 4;

/** What a page can compute on, of what was asked for. */
export async function deviceOf(asked: Device = 'wasm'): Promise<Device> {
  if (asked === 'wasm') return asked;
  const { gpu } = globalThis.navigator as unknown as { gpu?: { requestAdapter(): Promise<unknown> } };
  const adapter = await gpu?.requestAdapter().catch(() => undefined);
  return adapter ? 'webgpu' : 'wasm';
}

/** A runtime on what the page has; on a GPU, weights are written to its memory once, until `release`. */
export async function webRuntime(ort: OnnxRuntimeWeb, asked?: Device) {
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated
    ? Math.min(MOST_THREADS, navigator.hardwareConcurrency)
    : 1;
  const device = await deviceOf(asked);
  const options = { executionProviders: [device], logSeverityLevel: 3 };
  const plain = createRuntime(ort as unknown as OnnxRuntime, options);
  const buffers: GpuBuffer[] = [];
  let gpu: GpuDevice | undefined;
  const runtime: Runtime = {
    ...plain,
    session: async (model) => {
      const session = await plain.session(model);
      if (device === 'webgpu') gpu ??= (await ort.env.webgpu?.device) as GpuDevice | undefined;
      return yielding(session);
    },
    weights: (data, shape) => {
      if (!gpu || !data.length) return plain.floats(data, shape);
      const buffer = gpu.createBuffer({ size: data.byteLength, usage: WEIGHT_USAGE, mappedAtCreation: true });
      new Float32Array(buffer.getMappedRange()).set(data);
      buffer.unmap();
      buffers.push(buffer);
      const { fromGpuBuffer } = ort.Tensor as { fromGpuBuffer: FromGpuBuffer };
      return fromGpuBuffer(buffer, { dataType: 'float32', dims: shape });
    },
  };
  const release = () => {
    for (const buffer of buffers) buffer.destroy();
  };
  return { runtime, device, release };
}

/** A session that lets the page draw and hear clicks after every run: WebAssembly does not wait for anything by itself. */
function yielding(session: Session): Session {
  return {
    run: async (feeds, into) => {
      const results = await session.run(feeds, into);
      await nextTask();
      return results;
    },
    release: () => session.release(),
  };
}

/** The end of the line of what the page has to do; timers would wait for milliseconds. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
