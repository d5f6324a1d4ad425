import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Model } from '../../core/model.js';
import { type Described, describe, type Manifest } from '../manifest.js';
import { findDuplicates } from './duplicates.js';

/** Returns the manifest of files on this machine: names the source by its real path, and reads tensors to find duplicates. */
export async function describeFiles(
  from: Described,
  options: Readonly<Record<string, unknown>>,
  base?: Model,
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
  const source = await sourceOf(from);
  return describe(from, {
    source,
    options,
    duplicates,
    base: base && (await sourceOf(base)).replace(/\.wpk$/, ''),
  });
}

/** Returns how a file names the model that it was made of: by its real file name, or as it was named on the Hub, `user/name@commit`. */
export function sourceOf({ id }: { readonly id: string }): Promise<string> {
  return realpath(id).then(basename, () => id);
}
