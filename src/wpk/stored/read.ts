import type { ByteSource } from '../../core/byte-source.js';
import { InputError, isInputError } from '../../core/errors.js';
import { isPointer, POINTER, POINTER_PREFIX_BYTES } from '../../core/lfs-pointer.js';
import { isGguf } from '../../models/gguf/header.js';
import { type OnnxHeader, readOnnx } from '../../models/onnx/header.js';
import type { OnnxTensor } from '../../models/onnx/tensor.js';
import { isOnnxName } from '../../models/onnx/with-data.js';
import { isCheckpoint } from '../../models/pytorch/checkpoint.js';
import type { WeightFormat, WeightSource } from '../../models/stored-model.js';
import { MAX_TENSORS } from '../directory.js';
import { assemble, type Parsed } from './assemble.js';
import { ggufTensors } from './gguf.js';
import { externalTensors, onnxTensors } from './onnx.js';
import { torchTensors } from './pytorch.js';
import { safetensorsTensors } from './safetensors.js';

/** A reader of a weight format. */
interface Reader {
  readonly format: WeightFormat;
  matches(prefix: Uint8Array, name: string): boolean;
  read(source: ByteSource, known: KnownOnnx): Promise<Pick<Parsed, 'tensors' | 'front'>>;
}

/** What is known of a file of ONNX before it is read. */
export interface KnownOnnx {
  /** The header of an ONNX file. */
  readonly header?: OnnxHeader | undefined;
  /** Why it has none. */
  readonly error?: InputError | undefined;
  /** For a file beside ONNX files, the tensors that they have in it. */
  readonly external?: readonly OnnxTensor[] | undefined;
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
    // the length of the JSON, whose upper half is 0, then the JSON's opening brace
    matches: (prefix, name) =>
      name.endsWith('.safetensors') ||
      (prefix[8] === 0x7b && prefix.subarray(4, 8).every((byte) => byte === 0)),
    read: safetensorsTensors,
  },
  {
    format: 'onnx',
    matches: (_, name) => isOnnxName(name),
    read: async (source, { header, error }) => {
      if (error) throw error;
      return { tensors: onnxTensors((header ?? (await readOnnx(source))).tensors, source.byteLength) };
    },
  },
];

/** The reader of files beside ONNX files, which look like nothing: only those say what is in them. */
const EXTERNAL_READER: Reader = {
  format: 'onnx-data',
  matches: () => true,
  read: async (source, { external = [] }) => ({ tensors: externalTensors(external, source.byteLength) }),
};

/**
 * Reads the positions of the tensors of a file in any format. A file that cannot be parsed is all bytes, with a note that says why.
 * @param name its path in the folder. @param expected whether its name is one of a weight file: only then it gets a note, unless it is
 * a git-lfs pointer, which always gets one.
 * @param maxTensors maximum number of tensors. @param known what ONNX files say of it. @throws {InputError} when the file cannot be read at all.
 */
export async function readStored(
  name: string,
  source: ByteSource,
  expected: boolean,
  maxTensors = MAX_TENSORS,
  known: KnownOnnx = {},
): Promise<WeightSource> {
  const prefix = await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength));
  const reader = known.external ? EXTERNAL_READER : READERS.find(({ matches }) => matches(prefix, name));
  const asBytes = (note: string, noted = expected) =>
    assemble({ name, format: 'bytes', tensors: [], ...(noted && { note }) }, source);
  if (isPointer(prefix)) return asBytes(POINTER, true);
  if (!reader) return asBytes('of a format that is not known');
  try {
    const read = await reader.read(source, known);
    if (read.tensors.length > maxTensors)
      return asBytes(`${read.tensors.length} tensors, over the limit of ${MAX_TENSORS} in all`);
    return await assemble({ name, format: reader.format, ...read }, source);
  } catch (error) {
    if (!isInputError(error)) throw error;
    return asBytes(reasonOf(error));
  }
}

/** Returns an error's message without the file's path on this machine. */
function reasonOf({ what, place: { tensor } }: InputError): string {
  return new InputError(what, tensor === undefined ? {} : { tensor }).message;
}
