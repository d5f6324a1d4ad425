// weightpress/browser/run: models run in a web page, on the onnxruntime-web that the page brings. docs/browser.md.
import type { Model } from '../formats/model.js';
import { type GenerateOptions, type Generation, generateWith } from '../forward/generate.js';
import { createRuntime, type OnnxRuntime } from '../forward/runtime.js';

/** The part of onnxruntime-web that is used: the module itself, as imported. */
export interface OnnxRuntimeWeb {
  readonly Tensor: unknown;
  readonly InferenceSession: unknown;
  readonly env: { readonly wasm: { numThreads?: number | undefined } };
}

export type Device = 'wasm' | 'webgpu';

export interface RunOptions extends GenerateOptions {
  /**
   * `wasm`, the default, computes on the processors: on several where the page is cross-origin isolated. `webgpu` needs the module
   * `onnxruntime-web/webgpu`; where the browser has no adapter, `wasm` is taken.
   */
  readonly device?: Device | undefined;
}

/** Further threads wait for each other more than they help. */
const MOST_THREADS = 4;

/** What a page can compute on, of what was asked for. */
export async function deviceOf(asked: Device = 'wasm'): Promise<Device> {
  if (asked === 'wasm') return asked;
  const { gpu } = globalThis.navigator as unknown as { gpu?: { requestAdapter(): Promise<unknown> } };
  const adapter = await gpu?.requestAdapter().catch(() => undefined);
  return adapter ? 'webgpu' : 'wasm';
}

/**
 * Continues a prompt, text or token ids; `onToken` hears of every token as it comes.
 * @param ort the module `onnxruntime-web`. Its number of threads is set by the first call.
 * @throws {InputError} on a model that cannot be run, settings out of range, and a prompt that is empty or too long.
 */
export async function generate(
  ort: OnnxRuntimeWeb,
  model: Model,
  prompt: string | readonly number[],
  { device, ...options }: RunOptions = {},
): Promise<Generation> {
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated
    ? Math.min(MOST_THREADS, navigator.hardwareConcurrency)
    : 1;
  const executionProviders = [await deviceOf(device)];
  const runtime = createRuntime(ort as unknown as OnnxRuntime, { executionProviders, logSeverityLevel: 3 });
  return generateWith(runtime, model, prompt, options);
}
