import { InferenceSession, Tensor } from 'onnxruntime-node';
import { createRuntime, type OnnxRuntime } from './runtime.js';

/** ONNX Runtime on this machine's processors. */
export const nodeRuntime = createRuntime({ Tensor, InferenceSession } as unknown as OnnxRuntime, {
  executionProviders: ['cpu'],
  logSeverityLevel: 3,
});
