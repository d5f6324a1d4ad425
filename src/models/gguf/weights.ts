import type { ByteSource } from '../../core/byte-source.js';
import type { Dtype } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import type { VirtualTensor } from '../virtual.js';
import { DEQUANTIZE } from './dequantize.js';
import type { GgufTensor } from './header.js';

/** Types that safetensors has too, with the same bytes. */
const PLAIN: Readonly<Record<string, Dtype>> = {
  F32: 'F32',
  F16: 'F16',
  BF16: 'BF16',
  F64: 'F64',
  I8: 'I8',
  I16: 'I16',
  I32: 'I32',
  I64: 'I64',
};

/**
 * Returns a tensor of a GGUF file. Quantized ones are decoded to float32, reading only the requested blocks.
 * @throws {InputError} for an unsupported type.
 */
export function elementsOf({ name, type, shape, start, end }: GgufTensor, source: ByteSource): VirtualTensor {
  const plain = PLAIN[type.name];
  if (plain)
    return {
      name,
      dtype: plain,
      shape,
      read: (from, to, signal) => source.read(start + from, start + to, signal),
    };
  const decode = DEQUANTIZE[type.name];
  if (!decode)
    throw new InputError(
      `unsupported type ${type.name}, expected one of ${Object.keys(DEQUANTIZE).join(', ')}`,
      {
        file: source.name,
        tensor: name,
      },
    );
  const { blockElements, blockBytes } = type;
  const read = async (from: number, to: number, signal?: AbortSignal) => {
    const [first, last] = [Math.floor(from / 4 / blockElements), Math.ceil(to / 4 / blockElements)];
    const blocks = await source.read(start + first * blockBytes, start + last * blockBytes, signal);
    const floats = new Float32Array((last - first) * blockElements);
    for (let i = 0; i < last - first; i++) decode(blocks, i * blockBytes, floats, i * blockElements);
    const skipped = first * blockElements * 4;
    return new Uint8Array(floats.buffer).slice(from - skipped, to - skipped);
  };
  return { name, dtype: 'F32', shape, storedBytes: end - start, read };
}
