import type { ByteSource } from '../../core/byte-source.js';
import { InputError, isInputError } from '../../core/errors.js';
import { isPointer, POINTER, POINTER_PREFIX_BYTES } from '../../core/lfs-pointer.js';
import { isGguf } from '../../models/gguf/header.js';
import { isCheckpoint } from '../../models/pytorch/checkpoint.js';
import type { WeightFormat, WeightSource } from '../../models/stored-model.js';
import { MAX_TENSORS } from '../directory.js';
import { assemble, type Parsed } from './assemble.js';
import { ggufTensors } from './gguf.js';
import { torchTensors } from './pytorch.js';
import { safetensorsTensors } from './safetensors.js';

/** A format that can be seen into. */
interface Reader {
  readonly format: WeightFormat;
  matches(prefix: Uint8Array, name: string): boolean;
  read(source: ByteSource): Promise<Pick<Parsed, 'tensors' | 'front'>>;
}

const READERS: readonly Reader[] = [
  {
    format: 'gguf',
    matches: isGguf,
    read: async (source) => ({ tensors: await ggufTensors(source) }),
  },
  {
    format: 'pytorch',
    matches: isCheckpoint,
    read: async (source) => ({ tensors: await torchTensors(source) }),
  },
  {
    format: 'safetensors',
    // the length of a short JSON, its upper half 0, then the brace that opens it
    matches: (prefix, name) =>
      name.endsWith('.safetensors') ||
      (prefix[8] === 0x7b && prefix.subarray(4, 8).every((byte) => byte === 0)),
    read: safetensorsTensors,
  },
];

/**
 * Reads where the tensors of a file lie, whatever its format; of one that cannot be seen into all is bytes, and a note says why.
 * @param name its path in the folder. @param expected whether its name promises tensors, so that it is worth a note when there are none.
 * A pointer of git-lfs has that note whatever its name is.
 * @param maxTensors that there is room for. @throws {InputError} when it cannot be read at all.
 */
export async function readStored(
  name: string,
  source: ByteSource,
  expected: boolean,
  maxTensors = MAX_TENSORS,
): Promise<WeightSource> {
  const prefix = await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength));
  const reader = READERS.find(({ matches }) => matches(prefix, name));
  const asBytes = (note: string, said = expected) =>
    assemble({ name, format: 'bytes', tensors: [], ...(said && { note }) }, source);
  if (isPointer(prefix)) return asBytes(POINTER, true);
  if (!reader) return asBytes('of a format that is not known');
  try {
    const read = await reader.read(source);
    if (read.tensors.length > maxTensors)
      return asBytes(`${read.tensors.length} tensors, over the limit of ${MAX_TENSORS} in all`);
    return await assemble({ name, format: reader.format, ...read }, source);
  } catch (error) {
    if (!isInputError(error)) throw error;
    return asBytes(reasonOf(error));
  }
}

/** What is wrong, without the path that the file had on this machine. */
function reasonOf({ what, place: { tensor } }: InputError): string {
  return new InputError(what, tensor === undefined ? {} : { tensor }).message;
}
