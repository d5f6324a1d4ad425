import { realpath } from 'node:fs/promises';
import { parseJsonObject } from '../core/json.js';
import { fileError } from '../io/node/file.js';
import { Output } from '../io/node/output.js';
import { FRAME, inflateJson, openFrame, TRAILER_BYTES } from '../wpk/frames.js';
import type { Container } from '../wpk/reader.js';
import { writeEnd } from '../wpk/writer.js';
import { openContainer } from './decompress.js';

/**
 * Stores what was measured in a .wpk file, as the directory's `quality`, in place of what was there. Everything else stays as it is,
 * also members of the directory that this version does not know. A copy is made and takes the file's place when it is safe on the
 * disk: until then the file is as it was.
 * @param file on disk. @param quality anything that JSON can hold; an {@link Evaluation} is what other commands show.
 * @throws {InputError} when the file is not sound, cannot be replaced, or was replaced by somebody else meanwhile.
 */
export async function attachQuality(file: string, quality: Readonly<Record<string, unknown>>): Promise<void> {
  const path = await realpath(file).catch((error) => {
    throw fileError(error, file);
  });
  const container = await openContainer(path);
  try {
    const directory = await readDirectory(container, path);
    const { manifestEnd, directoryStart, source } = container;
    const output = await Output.copy(path, directoryStart);
    try {
      await writeEnd(output, { ...directory, quality }, { file: path, manifestEnd, directoryStart });
      await output.finish(() => source.verify?.());
    } catch (error) {
      await output.discard();
      throw error;
    }
  } finally {
    await container.close();
  }
}

async function readDirectory(
  { directoryStart, source }: Container,
  path: string,
): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await source.read(directoryStart, source.byteLength - TRAILER_BYTES);
  const json = inflateJson(openFrame(bytes, FRAME.directory, path, directoryStart), path);
  return parseJsonObject(json, path).value;
}
