import { refusePointer } from './lfs-pointer.js';
import type { Model } from './model.js';

/** Reads a side file of a model; undefined if there is none. @throws {InputError} for a git-lfs pointer in its place. */
export async function readSideFile(
  { id, sideFiles }: Pick<Model, 'id' | 'sideFiles'>,
  name: string,
): Promise<Uint8Array | undefined> {
  const bytes = await sideFiles.find((file) => file.name === name)?.read();
  if (bytes) refusePointer(bytes, `${id}, ${name}`);
  return bytes;
}
