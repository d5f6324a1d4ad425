import './no-telemetry.js'; // before what it silences is loaded
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { createRuntime, type OnnxRuntime } from '../runtime.js';

const ONNX_RUNTIME = { Tensor, InferenceSession } as unknown as OnnxRuntime;

const OPTIONS = {
  executionProviders: ['cpu'],
  logSeverityLevel: 3,
  // Threads that wait by spinning take processors from others: beside other work a token took twice as long.
  extra: { session: { intra_op: { allow_spinning: '0' } } },
};

/** ONNX Runtime on this machine's processors. */
export const nodeRuntime = createRuntime(ONNX_RUNTIME, OPTIONS);

/** On the calling thread alone: for work of which several threads do a piece each. */
export const singleThreadRuntime = createRuntime(ONNX_RUNTIME, { ...OPTIONS, intraOpNumThreads: 1 });
