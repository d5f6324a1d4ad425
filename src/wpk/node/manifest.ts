import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Described, describe, type Manifest } from '../manifest.js';
import { findDuplicates } from './duplicates.js';

/** Returns the manifest of files on this machine: names the source by its real path, and reads tensors to find duplicates. */
export async function describeFiles(
  from: Described,
  options: Readonly<Record<string, unknown>>,
): Promise<Manifest> {
  const duplicates = await findDuplicates(
    from.weightSources.flatMap(({ source, tensors }) =>
      tensors.map(({ dtype, lengthBytes, start }) => ({
        dtype,
        lengthBytes,
        read: (from: number, to: number) => source.read(start + from, start + to),
      })),
    ),
  );
  const source = await realpath(from.id).then(basename, () => from.id);
  return describe(from, { source, options, duplicates });
}
