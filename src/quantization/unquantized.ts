import { codecOf, LOSSLESS } from '../codecs/codec.js';
import { encodeBlock } from '../codecs/lossless/block.js';
import { DTYPE_BYTES } from '../core/dtype.js';
import { canWiden, readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { losslessKernels } from '../wasm/lossless.js';
import type { CodedTensor } from './candidate-frames.js';
import type { ModelBase } from './model-base.js';
import { roundToDtype } from './round-to-dtype.js';

/**
 * Encodes a tensor that is not quantized with the lossless codec. Float32 is first rounded to bfloat16, unless it must stay exact.
 * @param base the tensor may be a difference from its. @param tuned values that replace the original's, rounded to the tensor's dtype.
 */
export async function encodeUnquantized(
  model: Model,
  tensor: TensorInfo,
  exact: boolean,
  base: ModelBase | undefined,
  tuned?: Float32Array | undefined,
): Promise<CodedTensor> {
  const bytes = exact ? await model.readTensor(tensor.name) : await roundedBytes(model, tensor, tuned);
  const known = await base?.read(tensor);
  const width = DTYPE_BYTES[tensor.dtype];
  const blocks = codecOf({ ...tensor, codec: LOSSLESS }, model.id).blocks(tensor);
  const payloads = Array.from(blocks, (block) => {
    const [start, end] = [block.first * width, (block.first + block.count) * width];
    return encodeBlock(losslessKernels(), bytes.subarray(start, end), block, known?.subarray(start, end));
  });
  return { codec: LOSSLESS, payloads };
}

async function roundedBytes(model: Model, tensor: TensorInfo, tuned: Float32Array | undefined) {
  const { name, dtype } = tensor;
  const floats = canWiden(dtype) ? await readFloats(model, tensor) : undefined;
  const rounded = tuned ?? (dtype === 'F32' ? floats : undefined);
  return (rounded && roundToDtype(rounded, dtype)) ?? model.readTensor(name);
}
