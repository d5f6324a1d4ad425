import type { ByteSource } from '../../core/byte-source.js';
import { InputError, isInputError } from '../../core/errors.js';
import { lastName } from '../../core/file-name.js';
import { type Folder, type FolderFile, type LeftOut, type Listing, SingleFile } from '../../core/folder.js';
import { externalName, locationsOf, type OpenBeside } from './external.js';
import { readOnnx } from './header.js';

/** Files of external data that are named one by one as left out. */
export const MAX_NOTED = 8;

/** Why external data of a file at an address is left out. */
export const NOT_FETCHED = 'which is not fetched from an address';

/** Returns whether a file is ONNX, by its name. */
export const isOnnxName = (name: string) => /\.onnx$/i.test(name);

/**
 * Returns an ONNX file and the files with its external data as a folder. Only files of its own folder and folders in it are opened. The source stays
 * open: it belongs to the caller.
 * @param beside opens a file in the ONNX file's folder; undefined at an address. @throws {InputError} when a file cannot be opened.
 */
export async function withExternalData(
  id: string,
  source: ByteSource,
  beside: OpenBeside | undefined,
): Promise<Folder> {
  const main = lastName(id);
  const files: FolderFile[] = [];
  const leftOut: LeftOut[] = [];
  for (const location of await externalLocations(source)) {
    const name = externalName(main, location);
    if (name === undefined || files.some((file) => file.name === name)) continue;
    if (!beside) {
      if (leftOut.length < MAX_NOTED)
        leftOut.push({ name, reason: `external data of ${main}, ${NOT_FETCHED}` });
      continue;
    }
    try {
      const other = await beside(name);
      if (other) files.push({ name, lengthBytes: other.byteLength });
      await other?.close();
    } catch (error) {
      if (!isInputError(error)) throw error;
      if (leftOut.length < MAX_NOTED)
        leftOut.push({ name, reason: `external data of ${main}: ${error.what}` });
    }
  }
  return folderOf(id, source, files, beside, leftOut);
}

/**
 * Returns an ONNX file and others beside it as a folder. The source stays open: it belongs to the caller.
 * @param beside opens the others.
 */
export function folderOf(
  id: string,
  source: ByteSource,
  others: readonly FolderFile[],
  beside: OpenBeside | undefined,
  leftOut: readonly LeftOut[] = [],
): Folder {
  const alone = new SingleFile(id, source);
  const main = lastName(id);
  const files = [{ name: main, lengthBytes: source.byteLength }, ...others];
  const place = (name: string) => (name === main ? id : id.slice(0, -main.length) + name);
  return {
    id,
    kind: 'file',
    list: async () => files,
    listAll: async (): Promise<Listing> => ({ files, emptyFolders: [], leftOut, refused: [] }),
    open: async (name) => {
      const found = name === main ? await alone.open() : await beside?.(name);
      if (!found) throw new InputError('no such file', { file: place(name) });
      return found;
    },
    place,
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
