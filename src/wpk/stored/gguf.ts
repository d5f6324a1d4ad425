import { tensorRole } from '../../architectures/registry.js';
import type { ByteSource } from '../../core/byte-source.js';
import { isDtype } from '../../core/dtype.js';
import { type GgufTensor, readGgufHeader } from '../../models/gguf/header.js';
import { familyOf, toHubName } from '../../models/gguf/names.js';
import type { StoredTensor } from '../../models/safetensors/header.js';

/**
 * Reads the positions of the tensors of a GGUF file. Quantized tensors are rows of bytes, one row per block. Tensors of unknown types
 * are left as bytes between the others.
 * @throws {InputError} for a header that cannot be read.
 */
export async function ggufTensors(source: ByteSource): Promise<StoredTensor[]> {
  const header = await readGgufHeader(source, { unknownTypes: true });
  const family = familyOf(header);
  const rename = family ? toHubName(family) : undefined;
  const config = family && { model_type: family.modelTypes[0] };
  return header.tensors.map((tensor) => {
    const stored = asBytes(tensor, rename?.(tensor.name));
    return {
      ...stored,
      role: tensorRole(stored.holds ?? { ...stored, name: rename?.(tensor.name) ?? stored.name }, config),
    };
  });
}

function asBytes({ name, type, shape, start, end }: GgufTensor, onHub = name): StoredTensor {
  const place = { name, start, end, lengthBytes: end - start };
  if (isDtype(type.name)) return { ...place, dtype: type.name, shape };
  const rows = (end - start) / type.blockBytes;
  const lengthBytes = shape.reduce((product, dimension) => product * dimension, 4);
  return {
    ...place,
    dtype: 'U8',
    shape: [rows, type.blockBytes],
    holds: { name: onHub, dtype: 'F32', shape, lengthBytes, encoding: type.name },
  };
}
