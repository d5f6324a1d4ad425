import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { POINTER_PREFIX_BYTES, refusePointer } from '../../core/lfs-pointer.js';
import { isGguf } from '../../models/gguf/header.js';
import type { OpenBeside } from '../../models/onnx/external.js';
import { isOnnx } from '../../models/onnx/header.js';
import { isCheckpoint } from '../../models/pytorch/checkpoint.js';
import type { Listing } from './listed.js';

/** A reader of a format, which is loaded when a file of it is opened. */
interface Format {
  readonly name: string;
  matches(prefix: Uint8Array, name: string): boolean;
  load(): Promise<(source: ByteSource, config?: Config, beside?: OpenBeside) => Promise<Listing>>;
}

const FORMATS: readonly Format[] = [
  { name: 'GGUF', matches: isGguf, load: async () => (await import('./gguf.js')).listGguf },
  { name: 'PyTorch', matches: isCheckpoint, load: async () => (await import('./pytorch.js')).listPytorch },
  {
    name: 'safetensors',
    // an 8-byte length whose upper half is 0, because headers are short, then the brace that opens the JSON
    matches: (prefix, name) =>
      name.endsWith('.safetensors') ||
      (prefix[8] === 0x7b && prefix.subarray(4, 8).every((byte) => byte === 0)),
    load: async () => (await import('./safetensors.js')).listSafetensors,
  },
  {
    name: 'ONNX',
    matches: isOnnx,
    load: async () => {
      const { listOnnx } = await import('./onnx.js');
      return (source, _, beside) => listOnnx(source, beside);
    },
  },
];

/** Returns the format of a weight file by its first bytes and its name; undefined for another file. */
export async function formatOf(source: ByteSource): Promise<string | undefined> {
  return (await find(source))?.name;
}

/**
 * Lists the tensors of a safetensors, GGUF, PyTorch or ONNX file. Only its header is read, by ranges.
 * @param config of the model, for roles. @param beside opens files in its folder, where an ONNX file has elements. @throws {InputError} for another file, and a header that cannot be read.
 */
export async function listWeights(
  source: ByteSource,
  config?: Config,
  beside?: OpenBeside,
): Promise<Listing> {
  const format = await find(source);
  if (!format)
    throw new InputError('not a file of weights: expected .wpk, safetensors, GGUF, PyTorch or ONNX', {
      file: source.name,
    });
  const list = await format.load();
  return list(source, config, beside);
}

async function find(source: ByteSource): Promise<Format | undefined> {
  const prefix = await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength));
  refusePointer(prefix, source.name);
  return FORMATS.find(({ matches }) => matches(prefix, source.name));
}
