import { TRELLIS } from '../codecs/codec.js';
import type { Model } from '../core/model.js';
import type { CodedTensor } from './candidate-frames.js';
import type { ModelBase } from './model-base.js';
import type { QuantizedModel } from './model-quantizer.js';
import type { PlannedTensor } from './plan.js';
import { encodeUnquantized } from './unquantized.js';

/** Options of {@link encodeModel}. */
export interface EncodeOptions {
  /** Values that replace the original's in tensors that are not quantized, by name. */
  readonly tuned?: ReadonlyMap<string, Float32Array> | undefined;
  readonly base?: ModelBase | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Encodes the tensors of a plan in order, each on demand. */
export async function* encodeModel(
  model: Model,
  tensors: readonly PlannedTensor[],
  { tables, matrices }: QuantizedModel,
  { tuned, base, signal }: EncodeOptions = {},
): AsyncGenerator<CodedTensor> {
  for (const { tensor, treatment } of tensors) {
    signal?.throwIfAborted();
    yield treatment === 'quantized'
      ? { codec: TRELLIS, payloads: await matrices.payloads(tensor.name, tables) }
      : await encodeUnquantized(model, tensor, treatment === 'exact', base, tuned?.get(tensor.name));
  }
}
