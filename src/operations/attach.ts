import { realpath } from 'node:fs/promises';
import { parseJsonObject } from '../core/json.js';
import { fileError } from '../io/node/file.js';
import { Output } from '../io/node/output.js';
import { FRAME, inflateJson, openFrame, TRAILER_BYTES } from '../wpk/frames.js';
import type { Container } from '../wpk/reader.js';
import { writeEnd } from '../wpk/writer.js';
import { openContainer } from './decompress.js';

/**
 * Replaces the `quality` in the directory of a .wpk file by new measurements. Everything else is unchanged, including unknown members of
 * the directory. The change is made on a copy, which replaces the file when it is synced to disk; until then the file is unchanged.
 * @param file on disk. @param quality any JSON value; other commands show an {@link Evaluation}.
 * @throws {InputError} when the file is invalid, cannot be replaced, or was replaced by another process meanwhile.
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
