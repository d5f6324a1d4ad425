import { InferenceSession, Tensor } from 'onnxruntime-node';
import { createRuntime, type OnnxRuntime } from './runtime.js';

/** ONNX Runtime on this machine's processors. */
export const nodeRuntime = createRuntime({ Tensor, InferenceSession } as unknown as OnnxRuntime, {
  executionProviders: ['cpu'],
  logSeverityLevel: 3,
  // Threads that wait by spinning take processors from others: beside other work a token took twice as long.
  extra: { session: { intra_op: { allow_spinning: '0' } } },
});
