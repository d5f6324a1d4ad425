import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import { POINTER_PREFIX_BYTES, refusePointer } from '../core/lfs-pointer.js';
import type { Model, OpenOptions } from '../core/model.js';
import { openFolder, openSafetensorsFile, openTorchFile } from '../models/folder/open.js';
import { isGguf } from '../models/gguf/header.js';
import { openGguf } from '../models/gguf/model.js';
import type { OpenBeside } from '../models/onnx/external.js';
import { isOnnx } from '../models/onnx/header.js';
import { openOnnx } from '../models/onnx/model.js';
import { isCheckpoint } from '../models/pytorch/checkpoint.js';
import type { FindBase } from '../wpk/base.js';
import { WpkFolder } from '../wpk/folder.js';
import { isWpk } from '../wpk/frames.js';
import { WpkModel } from '../wpk/model.js';
import { openWpk, withContainer } from '../wpk/original.js';

/** How {@link openSource} opens. */
export interface SourceOptions extends OpenOptions {
  /** Opens the base of a .wpk that has one. */
  readonly findBase?: FindBase | undefined;
}

/** A kind of file that can be opened as a model. */
export interface FileFormat {
  /** Name in messages: `a .wpk file`. */
  readonly accepts: string;
  /** Returns whether a file that begins with `prefix` (at most {@link PREFIX_BYTES}) is of this kind. */
  matches(prefix: Uint8Array, path: string): boolean;
  /** Opens the file. The result owns the source, which is closed on failure. @throws {InputError} */
  open(id: string, source: ByteSource, options: SourceOptions, beside?: OpenBeside): Promise<Model>;
}

/** Bytes at the front of a file that identify its format. */
export const PREFIX_BYTES = POINTER_PREFIX_BYTES;

/** The formats, in the order in which they are tried. */
const FORMATS: readonly FileFormat[] = [
  { accepts: 'a GGUF file', matches: (prefix) => isGguf(prefix), open: openGguf },
  { accepts: 'a PyTorch checkpoint', matches: (prefix) => isCheckpoint(prefix), open: openTorchFile },
  {
    accepts: 'a .wpk file',
    matches: (prefix, id) => isWpk(prefix) || id.endsWith('.wpk'),
    open: (_, source, options) => openStoredModel(source, options),
  },
  {
    accepts: 'a .safetensors file',
    // an 8-byte length whose upper half is 0, because headers are short, then the brace that opens the JSON
    matches: (prefix, path) =>
      path.endsWith('.safetensors') ||
      (prefix[8] === 0x7b && prefix.subarray(4, 8).every((byte) => byte === 0)),
    open: openSafetensorsFile,
  },
  {
    accepts: 'an ONNX file',
    matches: isOnnx,
    open: (id, source, _, beside) => openOnnx(id, source, { beside }),
  },
];

/**
 * Opens one file of any format, which its first bytes identify. The result owns the source.
 * @param beside opens files in its folder, which an ONNX file may need. @throws {InputError}
 */
export async function openSource(
  id: string,
  source: ByteSource,
  options: SourceOptions = {},
  beside?: OpenBeside,
): Promise<Model> {
  const format = await formatOf(id, source).catch(async (error) => {
    await source.close();
    throw error;
  });
  return format.open(id, source, options, beside);
}

/** Returns the format of a file from its first bytes, as in `a GGUF file`; undefined for an unknown one. */
export function kindOf(prefix: Uint8Array): string | undefined {
  return FORMATS.find((opener) => opener.matches(prefix, ''))?.accepts;
}

async function formatOf(id: string, source: ByteSource): Promise<FileFormat> {
  const prefix = await source.read(0, Math.min(PREFIX_BYTES, source.byteLength));
  refusePointer(prefix, id);
  const format = FORMATS.find((candidate) => candidate.matches(prefix, id));
  if (format) return format;
  if (!source.byteLength) throw new InputError('expected a model, found an empty file', { file: id });
  const accepted = ['a folder with model.safetensors', ...FORMATS.map(({ accepts }) => accepts)];
  throw new InputError(`not a model in a supported format: expected ${accepted.join(', ')}`, { file: id });
}

/** Opens a .wpk. A stored PyTorch checkpoint is opened as the tensors of its state, not as its storages. */
async function openStoredModel(source: ByteSource, options: SourceOptions): Promise<Model> {
  const opened = await openWpk(source, undefined, options.findBase);
  const model = opened.container.directory.weightFiles.filter(({ isModel }) => isModel);
  if (!(opened instanceof WpkModel) || !model.some(({ format }) => format === 'pytorch')) return opened;
  try {
    return withContainer(opened, await openFolder(new WpkFolder(opened.container), options));
  } catch (error) {
    await opened.close();
    throw error;
  }
}
