import type { ByteSource } from '../../core/byte-source.js';
import { readSafetensors } from '../../models/safetensors/header.js';
import type { Parsed } from './assemble.js';

/** Reads the positions of the tensors of a safetensors file; gaps, which the format forbids, are allowed. @throws {InputError} for a header that cannot be read. */
export async function safetensorsTensors(source: ByteSource): Promise<Pick<Parsed, 'tensors' | 'front'>> {
  const { tensors, headerBytes } = await readSafetensors(source, { holes: true });
  return { tensors, front: headerBytes };
}
