import { dirname, join } from 'node:path';
import { DTYPE_BYTES, type Dtype, elementCount } from '../../core/dtype.js';
import { ELEMENTS } from '../../core/elements.js';
import { InputError } from '../../core/errors.js';
import { canWiden, widenerOf } from '../../core/floats.js';
import type { Model, SideFile, TensorInfo } from '../../core/model.js';
import { Output, writeWhole } from '../../io/node/checked-output.js';
import { makeFolders } from '../../io/node/disk.js';
import { INDEX_NAME, TORCH_INDEX_NAME } from '../../models/folder/shard-index.js';
import { writeHeader } from '../../models/safetensors/writer.js';
import { isStoredModel } from '../../models/stored-model.js';
import { requireElements } from '../../wpk/manifest.js';
import { inputPaths } from '../../wpk/node/manifest.js';
import { makeFolder } from '../folder.js';

/** What floats can be written as, and torch's name for it. */
export const EXPORT_DTYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;
export type ExportDtype = keyof typeof EXPORT_DTYPES;

export interface ExportOptions {
  /** What floats are rounded to; by default each stays what it is. */
  readonly dtype?: ExportDtype | undefined;
  /** Bytes of tensors in a file, unless one alone has more. By default all are in one. */
  readonly shardBytes?: number | undefined;
  /** Replace an existing folder. */
  readonly force?: boolean | undefined;
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/**
 * Writes a model as a folder of safetensors as transformers expects it: `model.safetensors`, or shards and their index, and the files
 * that go with it. The folder appears under its name only when it is whole.
 * @throws {InputError} on weights that the type cannot hold, and a place that cannot be written to.
 */
export async function exportSafetensors(
  model: Model,
  folder: string,
  options: ExportOptions = {},
): Promise<void> {
  requireElements(model);
  const { dtype, shardBytes = Infinity, force = false, onProgress } = options;
  const tensors = model.tensors.map((tensor) => asWritten(tensor, dtype));
  const total = sum(tensors);
  const shards = cut(tensors, shardBytes);
  let done = 0;
  const inputs = isStoredModel(model) ? inputPaths(model) : [model.id];
  await makeFolder(folder, inputs, force, async (making) => {
    for (const file of model.sideFiles) await copySideFile(file, making, dtype);
    const names = shards.map((_, i) => shardName(i, shards.length));
    for (const [i, shard] of shards.entries())
      await writeShard(model, shard, join(making, names[i]!), (bytes) => {
        done += bytes;
        onProgress?.(done, total);
      });
    if (shards.length > 1) await writeWhole(join(making, INDEX_NAME), indexOf(shards, names, total), false);
    await model.verify?.();
  });
}

interface Written extends TensorInfo {
  /** As it is in the model. */
  readonly source: TensorInfo;
}

function asWritten(source: TensorInfo, asked: ExportDtype | undefined): Written {
  const dtype: Dtype = asked !== undefined && canWiden(source.dtype) ? asked : source.dtype;
  return { ...source, dtype, lengthBytes: elementCount(source.shape) * DTYPE_BYTES[dtype], source };
}

function sum(tensors: readonly TensorInfo[]): number {
  return tensors.reduce((bytes, { lengthBytes }) => bytes + lengthBytes, 0);
}

/** In order, a new shard where the next tensor would be too much for the last, as transformers does. */
function cut(tensors: readonly Written[], shardBytes: number): Written[][] {
  const shards: Written[][] = [[]];
  for (const tensor of tensors) {
    const last = shards.at(-1)!;
    if (last.length && sum(last) + tensor.lengthBytes > shardBytes) shards.push([tensor]);
    else last.push(tensor);
  }
  return shards;
}

function shardName(index: number, count: number): string {
  if (count === 1) return 'model.safetensors';
  const digits = (n: number) => String(n).padStart(5, '0');
  return `model-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}

function indexOf(shards: readonly Written[][], names: readonly string[], total: number): string {
  const entries = shards.flatMap((shard, i) => shard.map(({ name }) => [name, names[i]]));
  const weight_map = Object.fromEntries(entries);
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map }, null, 2)}\n`;
}

/** As it is, but for the index of other shards, and for the type of floats that a config names. */
async function copySideFile(file: SideFile, folder: string, dtype: ExportDtype | undefined): Promise<void> {
  if (file.name === INDEX_NAME || file.name === TORCH_INDEX_NAME) return;
  const bytes = await file.read();
  const changed = file.name === 'config.json' && dtype !== undefined;
  const path = join(folder, file.name);
  await makeFolders(dirname(path));
  await writeWhole(path, changed ? withDtype(bytes, dtype) : bytes, false);
}

/** A config in which floats are said to be of a type, by both names that transformers has had for it. All else stays as it is written. */
function withDtype(config: Uint8Array, dtype: ExportDtype): Uint8Array {
  const types = Object.values(EXPORT_DTYPES).join('|');
  const said = new RegExp(`("(?:torch_)?dtype"\\s*:\\s*)"(?:${types})"`, 'g');
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(config);
  return new TextEncoder().encode(text.replaceAll(said, `$1"${EXPORT_DTYPES[dtype]}"`));
}

/** Elements that are converted at a time. */
const PIECE_ELEMENTS = 2 ** 18;

async function writeShard(
  model: Model,
  tensors: readonly Written[],
  path: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const output = await Output.create(path);
  try {
    await output.write(writeHeader(tensors, { format: 'pt' }).headerBytes);
    for (const tensor of tensors)
      for await (const bytes of convert(model, tensor)) {
        await output.write(bytes);
        onBytes(bytes.length);
      }
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}

async function* convert(model: Model, { name, dtype, source }: Written) {
  const width = DTYPE_BYTES[source.dtype];
  const widen = dtype === source.dtype ? undefined : widenerOf(model, name, source.dtype);
  for (let start = 0; start < source.lengthBytes; start += PIECE_ELEMENTS * width) {
    const end = Math.min(source.lengthBytes, start + PIECE_ELEMENTS * width);
    const bytes = await model.readTensor(name, start, end);
    if (widen) yield narrow(widen(bytes), dtype as ExportDtype, { file: model.id, tensor: name, start, end });
    else yield bytes;
  }
}

/** The largest number that rounds to one of float16. */
const F16_LIMIT = 65520;

function narrow(values: Float32Array, dtype: ExportDtype, place: InputError['place']): Uint8Array {
  const large = dtype === 'F16' && values.find((value) => Math.abs(value) >= F16_LIMIT && value * 0 === 0);
  if (large) throw new InputError(`${large} is beyond what F16 holds; BF16 has the range of F32`, place);
  return ELEMENTS[dtype](values.slice());
}
