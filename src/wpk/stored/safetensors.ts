import type { ByteSource } from '../../core/byte-source.js';
import { readSafetensors } from '../../models/safetensors/header.js';
import type { Parsed } from './assemble.js';

/** The tensors of a safetensors file as they lie; what the format forbids between them is kept too. @throws {InputError} */
export async function safetensorsTensors(source: ByteSource): Promise<Pick<Parsed, 'tensors' | 'front'>> {
  const { tensors, headerBytes } = await readSafetensors(source, { holes: true });
  return { tensors, front: headerBytes };
}
