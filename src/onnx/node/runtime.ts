import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import { NOTICES } from '../../core/notices.js';
import type { NodeRuntime } from '../runtime.js';

/** A runtime on the CPU: the package onnxruntime-node, or onnxruntime's WebAssembly, which is always there. */
export type RuntimeName = 'native' | 'wasm';

let loading: Promise<NodeRuntime> | undefined;
let chosen: RuntimeName | undefined;

/** Returns the name of the runtime that has been loaded, if one has. */
export const loadedRuntime = (): RuntimeName | undefined => chosen;

let isMissing = false;
/** Returns whether WebAssembly is used only because onnxruntime-node is not installed. */
export const isNativeMissing = (): boolean => isMissing && !('Deno' in globalThis);

/**
 * Loads the runtime, once: onnxruntime-node where it is installed and works, otherwise WebAssembly. The environment variable
 * `WEIGHTPRESS_RUNTIME` (`native` or `wasm`) chooses.
 * @param threads threads to compute on, default one per core; of the first call.
 * @throws {InputError} if `native` is asked for and cannot be loaded, or another one is asked for.
 */
export function loadRuntime(threads?: number): Promise<NodeRuntime> {
  loading ??= load(threads).catch((error) => {
    loading = undefined; // the next call may succeed
    throw error;
  });
  return loading;
}

async function load(threads: number | undefined): Promise<NodeRuntime> {
  const asked = process.env.WEIGHTPRESS_RUNTIME;
  if (asked && asked !== 'native' && asked !== 'wasm')
    throw new InputError(`expected WEIGHTPRESS_RUNTIME to be native or wasm, found ${quote(asked)}`);
  if (asked !== 'wasm')
    try {
      const { loadNative } = await import('./native.js');
      const runtime = await loadNative(threads);
      chosen = 'native';
      return runtime;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const [reason] = message.split('\n');
      if (asked === 'native') throw new InputError(`onnxruntime-node cannot be loaded: ${reason}`);
      isMissing = code === 'ERR_MODULE_NOT_FOUND' && /onnxruntime-node['"]/.test(message);
      if (!isMissing) NOTICES.show(`onnxruntime-node cannot be loaded, so WebAssembly is used: ${reason}`);
    }
  const { loadWasm } = await import('./wasm.js');
  const runtime = await loadWasm(threads);
  chosen = 'wasm';
  return runtime;
}
