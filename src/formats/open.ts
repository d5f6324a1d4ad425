import { stat } from 'node:fs/promises';
import { InputError } from '../errors.js';
import { fileError, openFile } from '../io/file.js';
import { openDirectory, openSafetensorsFile } from './directory.js';
import type { Model } from './model.js';

/** A kind of file that can be opened as a model. */
export interface Opener {
  /** For the message that lists what is accepted: `a .wpk file`. */
  readonly accepts: string;
  /** Whether a file that begins with `prefix` (at most {@link PREFIX_BYTES}) is of this kind. */
  matches(prefix: Uint8Array, path: string): boolean;
  open(path: string): Promise<Model>;
}

/** How much of a file is looked at to tell its kind. */
export const PREFIX_BYTES = 16;

const openers: Opener[] = [
  {
    accepts: 'a .safetensors file',
    // A length field (its upper half 0, as headers are short), then the brace that opens the JSON.
    matches: (prefix, path) =>
      path.endsWith('.safetensors') ||
      (prefix[8] === 0x7b && prefix.subarray(4, 8).every((byte) => byte === 0)),
    open: openSafetensorsFile,
  },
];

/** Adds a kind of file; kinds added later are asked first. So formats need not know of the container. */
export function registerOpener(opener: Opener): void {
  if (!openers.includes(opener)) openers.unshift(opener);
}

/**
 * Opens a model on disk: a folder, or a file of a kind that has an opener, told by its first bytes.
 * Only headers are read.
 * @throws {InputError} with one line when it is nothing that can be opened.
 */
export async function openModel(path: string): Promise<Model> {
  const found = await stat(path).catch((error) => {
    throw fileError(error, path);
  });
  if (found.isDirectory()) return openDirectory(path);
  const prefix = await readPrefix(path);
  const opener = openers.find((candidate) => candidate.matches(prefix, path));
  if (opener) return opener.open(path);
  const accepted = ['a folder with model.safetensors', ...openers.map(({ accepts }) => accepts)];
  throw new InputError(`not a model that can be read; accepted: ${accepted.join(', ')}`, { file: path });
}

async function readPrefix(path: string): Promise<Uint8Array> {
  const source = await openFile(path);
  try {
    return await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
  } finally {
    await source.close();
  }
}
