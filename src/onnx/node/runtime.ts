import './no-telemetry.js'; // must precede onnxruntime-node
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { createRuntime, type OnnxRuntime } from '../runtime.js';

const ONNX_RUNTIME = { Tensor, InferenceSession } as unknown as OnnxRuntime;

const OPTIONS = {
  executionProviders: ['cpu'],
  logSeverityLevel: 3,
  // spinning threads occupy cores: beside other work, a token took twice as long
  extra: { session: { intra_op: { allow_spinning: '0' } } },
};

/** ONNX Runtime on the CPU, with several threads. */
export const nodeRuntime = createRuntime(ONNX_RUNTIME, OPTIONS);

/** ONNX Runtime on the calling thread only, for callers that use several threads themselves. */
export const singleThreadRuntime = createRuntime(ONNX_RUNTIME, { ...OPTIONS, intraOpNumThreads: 1 });
