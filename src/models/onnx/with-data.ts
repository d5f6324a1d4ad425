import type { ByteSource } from '../../core/byte-source.js';
import { isInputError } from '../../core/errors.js';
import { type Folder, type FolderFile, type LeftOut, type Listing, SingleFile } from '../../core/folder.js';
import { externalName, locationsOf } from './external.js';
import { readOnnx } from './header.js';
import type { OpenBeside } from './model.js';

/** Returns whether a file is ONNX, by its name. */
export const isOnnxName = (name: string) => /\.onnx$/i.test(name);

/**
 * Returns an ONNX file and the files with its external data as a folder. Only files of its own folder and folders in it are opened. The source stays
 * open: it belongs to the caller.
 * @param beside opens a file in the ONNX file's folder. @throws {InputError} when a file cannot be opened.
 */
export async function withExternalData(
  id: string,
  source: ByteSource,
  beside: OpenBeside | undefined,
): Promise<Folder> {
  const alone = new SingleFile(id, source);
  const [main] = (await alone.list()) as [FolderFile];
  const files: FolderFile[] = [main];
  const leftOut: LeftOut[] = [];
  for (const location of await externalLocations(source)) {
    const name = externalName(main.name, location);
    if (name === undefined || !beside || files.some((file) => file.name === name)) continue;
    try {
      const other = await beside(name);
      if (other) files.push({ name, lengthBytes: other.byteLength });
      await other?.close();
    } catch (error) {
      if (!isInputError(error)) throw error;
      leftOut.push({ name, reason: `external data of ${main.name}: ${error.what}` });
    }
  }
  if (!beside || files.length + leftOut.length === 1) return alone;
  return {
    id,
    kind: 'file',
    list: async () => files,
    listAll: async (): Promise<Listing> => ({ files, emptyFolders: [], leftOut, refused: [] }),
    open: async (name) => (name === main.name ? alone.open() : (await beside(name))!),
    place: (name) => (name === main.name ? id : id.slice(0, -main.name.length) + name),
  };
}

async function externalLocations(source: ByteSource): Promise<string[]> {
  try {
    return locationsOf((await readOnnx(source)).tensors);
  } catch (error) {
    if (isInputError(error)) return []; // stored as bytes
    throw error;
  }
}
