// Loads onnxruntime-web, and models into it.
import type { BrowserModel } from '../dist/browser/open.js';
import { deviceOf, type LoadedModel, load, type OnnxRuntimeWeb } from '../dist/browser/run.js';
import type { Progress } from '../dist/core/progress.js';

const absolute = (path: string) => new URL(path, location.href).href;

let runtime: Promise<OnnxRuntimeWeb> | undefined;

/** Loads the runtime for this browser's device; each has several MB, so only one is downloaded. */
function loadRuntime(): Promise<OnnxRuntimeWeb> {
  runtime ??= deviceOf('webgpu').then(async (device) => {
    const [ort, mjs, wasm] =
      device === 'webgpu'
        ? await Promise.all([
            import('onnxruntime-web/webgpu'),
            import('onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url'),
            import('onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url'),
          ])
        : await Promise.all([
            import('onnxruntime-web/wasm'),
            import('onnxruntime-web/ort-wasm-simd-threaded.mjs?url'),
            import('onnxruntime-web/ort-wasm-simd-threaded.wasm?url'),
          ]);
    ort.env.wasm.wasmPaths = { mjs: absolute(mjs.default), wasm: absolute(wasm.default) };
    return ort as unknown as OnnxRuntimeWeb;
  });
  runtime.catch(() => {
    runtime = undefined; // the next attempt may succeed
  });
  return runtime;
}

/** Decodes a model into memory. @throws {InputError} when it cannot be run. */
export async function prepare(
  model: BrowserModel,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<LoadedModel> {
  return load(await loadRuntime(), model, { device: 'webgpu', onProgress, signal });
}
