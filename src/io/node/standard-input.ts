import { InputError } from '../../core/errors.js';
import { fileError, readBytes } from './file.js';

/** Name of standard input in place of a file. */
export const STANDARD_INPUT = '-';

/** Reads a whole file into memory; `-` reads standard input to its end. @throws {InputError} as {@link readBytes}. */
export async function readBytesOrInput(path: string): Promise<Buffer> {
  if (path !== STANDARD_INPUT) return readBytes(path);
  const pieces: Buffer[] = [];
  try {
    for await (const piece of process.stdin) pieces.push(piece);
  } catch (error) {
    throw fileError(error, 'standard input');
  }
  if (!pieces.length) throw new InputError('is empty', { file: 'standard input' });
  return Buffer.concat(pieces);
}

/** Reads a text; `-` reads standard input to its end. @throws {InputError} as {@link readBytesOrInput}. */
export async function readTextOrInput(path: string): Promise<string> {
  return (await readBytesOrInput(path)).toString('utf8');
}
