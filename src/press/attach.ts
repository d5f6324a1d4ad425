import { constants, copyFile } from 'node:fs/promises';
import {
  FRAME,
  frame,
  inflateJson,
  jsonPayload,
  openFrame,
  TRAILER_BYTES,
  trailer,
} from '../container/frames.js';
import { parseJsonObject } from '../formats/json.js';
import { fileError } from '../io/file.js';
import { openContainer } from './decompress.js';
import { Output, partialName } from './output.js';

/**
 * Stores what was measured in a .wpk file, as the directory's `quality`, in place of what was there. Everything else stays as it is,
 * members of the directory that this version does not know included. The file is replaced in one step.
 * @throws {InputError} when the file is not sound or cannot be replaced.
 */
export async function attachQuality(path: string, quality: Readonly<Record<string, unknown>>): Promise<void> {
  const container = await openContainer(path);
  let directory: Readonly<Record<string, unknown>>;
  const { directoryStart, source } = container;
  try {
    const bytes = await source.read(directoryStart, source.byteLength - TRAILER_BYTES);
    const json = inflateJson(openFrame(bytes, FRAME.directory, path, directoryStart), path);
    directory = parseJsonObject(json, path).value;
  } finally {
    await container.close();
  }
  await copyFile(path, partialName(path), constants.COPYFILE_FICLONE).catch((error) => {
    throw fileError(error, path);
  });
  const output = await Output.create(path, directoryStart);
  try {
    const whole = frame(FRAME.directory, jsonPayload({ ...directory, quality }));
    await output.write(whole);
    await output.write(trailer(directoryStart, whole.length));
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}
