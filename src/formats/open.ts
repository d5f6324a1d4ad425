import { InputError } from '../errors.js';
import type { ByteSource } from '../io/source.js';
import { openSafetensorsFile } from './directory.js';
import type { Model, OpenOptions } from './model.js';
import { POINTER_PREFIX_BYTES, refusePointer } from './pointer.js';

/** A kind of file that can be opened as a model. */
export interface Opener {
  /** For the message that lists what is accepted: `a .wpk file`. */
  readonly accepts: string;
  /** Whether a file that begins with `prefix` (at most {@link PREFIX_BYTES}) is of this kind. */
  matches(prefix: Uint8Array, path: string): boolean;
  /** The source belongs to the result, and is closed when this fails. @throws {InputError} */
  open(id: string, source: ByteSource, options: OpenOptions): Promise<Model>;
}

/** How much of a file is looked at to tell its kind. */
export const PREFIX_BYTES = POINTER_PREFIX_BYTES;

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

/** Opens one file, wherever it lies, by its first bytes. The source belongs to the result. @throws {InputError} */
export async function openSource(id: string, source: ByteSource, options: OpenOptions = {}): Promise<Model> {
  const opener = await openerOf(id, source).catch(async (error) => {
    await source.close();
    throw error;
  });
  return opener.open(id, source, options);
}

/** Returns what kind of model a file is by its first bytes, as `a GGUF file`; undefined for none that is known. */
export function kindOf(prefix: Uint8Array): string | undefined {
  return openers.find((opener) => opener.matches(prefix, ''))?.accepts;
}

async function openerOf(id: string, source: ByteSource): Promise<Opener> {
  const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
  refusePointer(prefix, id);
  const opener = openers.find((candidate) => candidate.matches(prefix, id));
  if (opener) return opener;
  if (!source.byteLength) throw new InputError('is empty, not a model', { file: id });
  const accepted = ['a folder with model.safetensors', ...openers.map(({ accepts }) => accepts)];
  throw new InputError(`not a model that can be read; accepted: ${accepted.join(', ')}`, { file: id });
}
