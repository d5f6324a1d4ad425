import './no-telemetry.js'; // must precede onnxruntime-node
import { createRuntime, type NodeRuntime, type OnnxRuntime } from '../runtime.js';

/** An optional package: as a variable, neither the compiler nor a bundler looks for it. */
const PACKAGE: string = 'onnxruntime-node';

/** Loads the package onnxruntime-node. @throws what its loading throws, if it is not installed or does not fit the system. */
export async function loadNative(threads: number | undefined): Promise<NodeRuntime> {
  const ort: OnnxRuntime = await import(PACKAGE);
  const options = {
    executionProviders: ['cpu'],
    logSeverityLevel: 3,
    // spinning threads occupy cores: beside other work, a token took twice as long
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    ...(threads !== undefined && { intraOpNumThreads: threads }),
  };
  return {
    ...createRuntime(ort, options),
    file: (path) => ort.InferenceSession.create(path, options),
  };
}
