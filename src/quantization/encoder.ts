import { TRELLIS } from '../codecs/codec.js';
import type { Model } from '../core/model.js';
import type { CodedTensor } from './candidate-frames.js';
import type { QuantizedModel, StoredMatrix } from './model-quantizer.js';
import type { PlannedTensor } from './plan.js';
import type { QuantizationThreads } from './threads.js';
import { encodeUnquantized } from './unquantized.js';

/** Options of {@link encodeModel}. */
export interface EncodeOptions {
  /** Values that replace the original's in tensors that are not quantized, by name. */
  readonly tuned?: ReadonlyMap<string, Float32Array> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Encodes the tensors of a plan in order, each on demand. */
export async function* encodeModel(
  model: Model,
  tensors: readonly PlannedTensor[],
  { tables, matrices }: QuantizedModel,
  threads: QuantizationThreads,
  { tuned, signal }: EncodeOptions = {},
): AsyncGenerator<CodedTensor> {
  for (const { tensor, treatment } of tensors) {
    signal?.throwIfAborted();
    yield treatment === 'quantized'
      ? await encodeMatrix(matrices.get(tensor.name)!, tables, threads)
      : await encodeUnquantized(model, tensor, treatment === 'exact', tuned?.get(tensor.name));
  }
}

async function encodeMatrix(
  { parameters, rows, readIndices }: StoredMatrix,
  tables: Uint8Array,
  threads: QuantizationThreads,
): Promise<CodedTensor> {
  const indices = await readIndices();
  const job = { quantized: { parameters, rows, indices }, tables };
  const payloads = await threads.run('encode', job, [indices.buffer as ArrayBuffer]);
  return { codec: TRELLIS, payloads };
}
