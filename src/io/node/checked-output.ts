import { stat } from 'node:fs/promises';
import { InputError } from '../../core/errors.js';
import { exists, Output } from './output.js';

export { Output };

/**
 * @throws {InputError} when `path` is one of the input's files, is a folder, or exists and may not be replaced.
 */
export async function checkOutput(path: string, inputs: readonly string[], force: boolean): Promise<void> {
  if (!(await exists(path))) return;
  const there = await stat(path).catch(() => undefined);
  for (const input of inputs) {
    const other = await stat(input).catch(() => undefined);
    if (other && other.dev === there?.dev && other.ino === there.ino)
      throw new InputError('the output is the input; nothing was written', { file: path });
  }
  if (there?.isDirectory())
    throw new InputError('the output is a folder, expected the name of a file', { file: path });
  if (!force) throw new InputError('already exists', { file: path }, { code: 'exists' });
}

/** Writes a small file that appears only when whole. @throws {InputError} as {@link checkOutput}, and when it cannot be written. */
export async function writeWhole(path: string, content: string | Uint8Array, force: boolean): Promise<void> {
  await checkOutput(path, [], force);
  const output = await Output.create(path, { force });
  try {
    await output.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}
