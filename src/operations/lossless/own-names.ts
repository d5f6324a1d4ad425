import { openFile } from '../../io/node/file.js';
import { temporariesOf } from '../../io/node/temporary.js';
import { nameIn } from '../../models/node/local.js';
import { FILE_HEADER_BYTES, isWpk } from '../../wpk/frames.js';

/** Returns the names of the output's files if it is in the folder to compress, so that they are skipped. Files other than .wpk are input. */
export async function ownNames(output: string, folder: string): Promise<string[]> {
  const paths = [...(await temporariesOf(output)), ...((await isInput(output)) ? [] : [output])];
  const names = await Promise.all(paths.map((path) => nameIn(folder, path)));
  return names.filter((name) => name !== undefined);
}

async function isInput(path: string): Promise<boolean> {
  const source = await openFile(path).catch(() => undefined);
  if (!source) return false;
  try {
    return !isWpk(await source.read(0, Math.min(FILE_HEADER_BYTES, source.byteLength)));
  } finally {
    await source.close();
  }
}
