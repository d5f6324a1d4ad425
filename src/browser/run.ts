// weightpress/browser/run: runs models in a web page with the page's onnxruntime-web. docs/browser.md.

import { elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Decoder } from '../inference/decoder.js';
import { continueWith, type GenerateOptions, type Generation } from '../inference/generate.js';
import type { Program } from '../inference/program.js';
import { type Device, type OnnxRuntimeWeb, webRuntime } from './device.js';
import type { BrowserModel } from './open.js';
import { type OnDecoded, streamWeights } from './weights.js';

export type { GenerateOptions, Generation } from '../inference/generate.js';
export { type Device, deviceOf, type OnnxRuntimeWeb } from './device.js';

export interface LoadOptions {
  /**
   * `wasm`, the default, computes on the CPU, with several threads if the page is cross-origin isolated. `webgpu` needs the module
   * `onnxruntime-web/webgpu`, and falls back to `wasm` if the browser has no GPU adapter.
   */
  readonly device?: Device | undefined;
  readonly onDecoded?: OnDecoded | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type RunOptions = Omit<GenerateOptions, 'onLoad'>;

/** A model with its weights in memory as float32. */
export interface LoadedModel {
  /** The device in use. */
  readonly device: Device;
  /**
   * Continues a prompt, given as text or token ids. `onToken` is called with every token. Calls must not overlap.
   * @throws {InputError} for settings out of range, and a prompt that is empty or too long.
   */
  generate(prompt: string | readonly number[], options?: RunOptions): Promise<Generation>;
  release(): Promise<void>;
}

/**
 * Loads a model. One opened with `weightpress/browser` is decoded in workers, in file order, during the download.
 * @param ort the module `onnxruntime-web`. The first call sets its number of threads.
 * @throws {InputError} for an unsupported model, and for one that does not fit into memory.
 */
export async function load(
  ort: OnnxRuntimeWeb,
  model: Model | BrowserModel,
  { device: requested, onDecoded, signal }: LoadOptions = {},
): Promise<LoadedModel> {
  const { runtime, device } = await webRuntime(ort, requested);
  const decoder = await Decoder.load(runtime, model, {
    signal,
    read: (program) => {
      if (device === 'wasm') checkFits(program);
      return 'all' in model ? streamWeights(runtime, model, program, onDecoded, signal) : undefined;
    },
  });
  return {
    device,
    generate: (prompt, options) => continueWith(decoder, prompt, options),
    release: () => decoder.release(),
  };
}

/** Address space of WebAssembly, minus the memory that a run needs in addition to the weights. */
const MAX_WEIGHT_BYTES = 2 ** 32 - 2 ** 28;

/** Checks that the weights as float32 fit into WebAssembly memory. @throws {InputError} when they do not. */
function checkFits({ model, embedding, layers, head }: Program): void {
  const bindings = [embedding.weights, ...layers, head.weights].flat();
  const bytes = 4 * bindings.reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0);
  if (bytes > MAX_WEIGHT_BYTES)
    throw new InputError(
      `${(bytes / 1e9).toFixed(1)} GB as float32, over the limit of ${(MAX_WEIGHT_BYTES / 1e9).toFixed(1)} GB in WebAssembly`,
      { file: model.id },
    );
}

/** Loads a model, continues one prompt and releases the model. @throws {InputError} as {@link load} and its `generate`. */
export async function generate(
  ort: OnnxRuntimeWeb,
  model: Model | BrowserModel,
  prompt: string | readonly number[],
  options: RunOptions & LoadOptions = {},
): Promise<Generation> {
  const loaded = await load(ort, model, options);
  try {
    return await loaded.generate(prompt, options);
  } finally {
    await loaded.release();
  }
}
