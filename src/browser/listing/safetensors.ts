import { tensorRole } from '../../architectures/registry.js';
import type { ByteSource } from '../../core/byte-source.js';
import type { Config } from '../../core/json.js';
import { readSafetensors } from '../../models/safetensors/header.js';
import type { Listing } from './listed.js';

/** Lists a safetensors file, one with gaps too. @throws {InputError} for a header that cannot be read. */
export async function listSafetensors(source: ByteSource, config: Config | undefined): Promise<Listing> {
  const { tensors, metadata } = await readSafetensors(source, { holes: true });
  return {
    format: 'safetensors',
    metadata: new Map(Object.entries(metadata)),
    tensors: tensors.map(({ name, dtype, shape, start, end, holds }) => ({
      name,
      dtype: holds?.encoding ?? dtype,
      shape: holds?.shape ?? shape,
      role: tensorRole({ name, shape: holds?.shape ?? shape }, config),
      bytes: end - start,
      file: source.name,
      open: () => ({
        name,
        dtype,
        shape,
        read: (from, to, signal) => source.read(start + from, start + to, signal),
      }),
    })),
  };
}
