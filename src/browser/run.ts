/**
 * Runs models in a web page, on the onnxruntime-web that the page brings: docs/browser.md.
 * @module
 */

import { elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import type { Closable, Model } from '../core/model.js';
import type { RunOptions } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import { Decoder, type IncomingWeights } from '../inference/decoder.js';
import { continueWith, type GenerateOptions, type Generation } from '../inference/generate.js';
import type { Program } from '../inference/program.js';
import { hasChat, type Prompt } from '../inference/prompt.js';
import { type Device, type OnnxRuntimeWeb, webRuntime } from './device.js';
import type { BrowserModel } from './open.js';
import { streamWeights } from './weights.js';

export type { Progress, RunOptions } from '../core/progress.js';
export type { GenerateOptions, Generation } from '../inference/generate.js';
export type { Prompt } from '../inference/prompt.js';
export type { Sampling } from '../inference/sampling.js';
export type { ChatMessage } from '../tokenizer/chat-template.js';
export {
  type Device,
  deviceOf,
  type OnnxRuntimeEnv,
  type OnnxRuntimeWasm,
  type OnnxRuntimeWeb,
} from './device.js';

/** How a model is loaded. */
export interface LoadOptions extends RunOptions {
  /**
   * `wasm`, the default, computes on the CPU, with several threads if the page is cross-origin isolated. `webgpu` needs the module
   * `onnxruntime-web/webgpu`, and falls back to `wasm` if the browser has no GPU adapter.
   */
  readonly device?: Device | undefined;
}

/** A model whose weights are in memory, as float32. */
export interface LoadedModel extends Closable {
  /** Where it computes. */
  readonly device: Device;
  /** Whether it has a chat template, so that it can be given messages. */
  readonly hasChat: boolean;
  /**
   * Continues a prompt: text, token ids or messages; `onToken` is called with every token as it comes. One call at a time.
   * @throws {InputError} for settings out of range, and a prompt that is empty or too long. @throws the signal's reason once it is aborted.
   */
  generate(prompt: Prompt, options?: GenerateOptions): Promise<Generation>;
}

/**
 * Loads a model: one of `weightpress/browser` is decoded in workers in the order of its file while the rest is on its way.
 * @param ort the module `onnxruntime-web`. Its number of threads is set by the first call.
 * @throws {InputError} on a model that cannot be run. @throws the signal's reason once it is aborted.
 */
export async function load(
  ort: OnnxRuntimeWeb,
  model: Model | BrowserModel,
  options: LoadOptions = {},
): Promise<LoadedModel> {
  const { runtime, device } = await webRuntime(ort, options.device);
  const { onProgress, signal } = options;
  let incoming: IncomingWeights | undefined;
  const decoder = await Decoder.load(runtime, model, {
    signal,
    onProgress: (progress) => incoming ?? onProgress?.(progress), // whoever decodes reports it
    read: (program) => {
      if (device === 'wasm') checkFits(program);
      incoming = 'all' in model ? streamWeights(runtime, model, program, options) : undefined;
      return incoming;
    },
  });
  const close = () => decoder.release();
  return {
    device,
    hasChat: await hasChat(model).catch(() => false), // whoever chats is told why
    generate: (prompt, options) => continueWith(decoder, prompt, options),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Address space of WebAssembly, minus the memory that a run needs in addition to the weights. */
const MAX_WEIGHT_BYTES = 2 ** 32 - 2 ** 28;

/** Checks that the weights as float32 fit into WebAssembly memory. @throws {InputError} when they do not. */
function checkFits({ model, embedding, layers, head }: Program): void {
  const bindings = [embedding.weights, ...layers, head.weights].flat();
  const bytes = 4 * sumOf(bindings, ({ tensor }) => elementCount(tensor.shape));
  if (bytes > MAX_WEIGHT_BYTES)
    throw new InputError(
      `${(bytes / 1e9).toFixed(1)} GB as float32, over the limit of ${(MAX_WEIGHT_BYTES / 1e9).toFixed(1)} GB in WebAssembly`,
      { file: model.id },
    );
}

/** Loads a model, continues one prompt and frees the model. @throws {InputError} as {@link load} and its `generate`. */
export async function generate(
  ort: OnnxRuntimeWeb,
  model: Model | BrowserModel,
  prompt: Prompt,
  options: GenerateOptions & LoadOptions = {},
): Promise<Generation> {
  const loaded = await load(ort, model, options);
  try {
    return await loaded.generate(prompt, options);
  } finally {
    await loaded.close();
  }
}
