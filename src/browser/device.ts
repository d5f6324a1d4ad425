import { holdWeights } from '../onnx/held.js';
import { createRuntime, type OnnxRuntime, type Runtime, type Session } from '../onnx/runtime.js';
import { whileThreadsLive } from './runtime-threads.js';

/** What a model computes on. */
export type Device = 'wasm' | 'webgpu';

/** The settings of onnxruntime-web that are used. */
export interface OnnxRuntimeEnv {
  /** Those of its WebAssembly. */
  readonly wasm: OnnxRuntimeWasm;
}

/** The settings of onnxruntime-web's WebAssembly that are used. */
export interface OnnxRuntimeWasm {
  /** Threads that it computes on. */
  numThreads?: number | undefined;
}

/** The part of onnxruntime-web that is used: the module itself, as imported. */
export interface OnnxRuntimeWeb {
  /** The class of its tensors. */
  readonly Tensor: unknown;
  /** The class of its sessions. */
  readonly InferenceSession: unknown;
  /** Its settings: the number of threads is set by the first call. */
  readonly env: OnnxRuntimeEnv;
}

/** Maximum number of threads; more are not faster. */
const MAX_THREADS = 4;

/** Returns what the page can compute on: `wasm` where `webgpu` was asked for and the browser has no adapter. */
export async function deviceOf(asked: Device = 'wasm'): Promise<Device> {
  if (asked === 'wasm') return asked;
  const { gpu } = globalThis.navigator as unknown as { gpu?: { requestAdapter(): Promise<unknown> } };
  const adapter = await gpu?.requestAdapter().catch(() => undefined);
  return adapter ? 'webgpu' : 'wasm';
}

/** Creates a runtime on an available device. It holds weights, because inputs of a run are copied each time. */
export async function webRuntime(ort: OnnxRuntimeWeb, requested?: Device) {
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated
    ? Math.min(MAX_THREADS, navigator.hardwareConcurrency)
    : 1;
  const device = await deviceOf(requested);
  const options = { executionProviders: [device], logSeverityLevel: 3 };
  const onnxRuntime = ort as unknown as OnnxRuntime;
  const plain = createRuntime(onnxRuntime, options);
  const create = async (session: () => Promise<Session>) => yielding(await whileThreadsLive(ort, session));
  const runtime: Runtime = {
    ...plain,
    session: (model) => create(() => plain.session(model)),
    hold: (graph, weights) => create(() => holdWeights(onnxRuntime, options, graph, weights)),
  };
  return { runtime, device };
}

/** Maximum time between two turns of the page: one frame. */
const TURN_MS = 16;
let lastTurn = 0;

/** Wraps a session so that the page can draw and handle events between runs, which WebAssembly does not allow by itself. */
function yielding(session: Session): Session {
  return {
    run: async (feeds, into) => {
      const results = await session.run(feeds, into);
      if (performance.now() - lastTurn > TURN_MS) {
        await nextTask();
        lastTurn = performance.now();
      }
      return results;
    },
    release: () => session.release(),
  };
}

/** Waits for pending tasks of the page; faster than a timer, which waits for milliseconds. */
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
