import { stat } from 'node:fs/promises';
import { InputError } from '../../core/errors.js';
import { exists, Output } from './output.js';

export { Output };

/**
 * Checks that a file may be written to `path`.
 * @throws {InputError} when it is one of the input files, is a folder, or exists and `force` is not set.
 */
export async function checkOutput(path: string, inputs: readonly string[], force: boolean): Promise<void> {
  if (!(await exists(path))) return;
  const existing = await stat(path).catch(() => undefined);
  for (const input of inputs) {
    const other = await stat(input).catch(() => undefined);
    if (other && other.dev === existing?.dev && other.ino === existing.ino)
      throw new InputError('the output is the input; nothing was written', { file: path });
  }
  if (existing?.isDirectory())
    throw new InputError('expected the name of a file, found a folder', { file: path });
  if (!force) throw new InputError('already exists', { file: path }, { code: 'exists' });
}

/** Writes a small file atomically. @throws {InputError} as {@link checkOutput}, and when it cannot be written. */
export async function writeWhole(path: string, content: string | Uint8Array, force: boolean): Promise<void> {
  await checkOutput(path, [], force);
  await writePieces(path, [typeof content === 'string' ? new TextEncoder().encode(content) : content], force);
}

/** Writes a file from its pieces, atomically. @throws {InputError} when it exists, unless `force`, or cannot be written. */
export async function writePieces(
  path: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  force: boolean,
): Promise<void> {
  const output = await Output.create(path, { force });
  try {
    for await (const piece of pieces) await output.write(piece);
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}
