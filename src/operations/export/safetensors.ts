import { dirname, join } from 'node:path';
import { DTYPE_BYTES, type Dtype, elementCount } from '../../core/dtype.js';
import { ELEMENTS, requireFloat16 } from '../../core/elements.js';
import type { InputError } from '../../core/errors.js';
import { canWiden, widenerOf } from '../../core/floats.js';
import type { Model, SideFile, TensorInfo } from '../../core/model.js';
import { Meter, type RunOptions } from '../../core/progress.js';
import { Output, writeWhole } from '../../io/node/checked-output.js';
import { makeFolders } from '../../io/node/disk.js';
import { INDEX_NAME, TORCH_INDEX_NAME } from '../../models/folder/shard-index.js';
import { inputsOf } from '../../models/node/inputs.js';
import { unpacked } from '../../models/packed/view.js';
import { writeHeader } from '../../models/safetensors/writer.js';
import { requireElements } from '../../wpk/manifest.js';
import { makeFolder } from '../folder.js';

/** Types that floats can be written as. */
export type ExportDtype = 'F32' | 'F16' | 'BF16';

/** Their names in torch. */
export const EXPORT_DTYPES: Readonly<Record<ExportDtype, string>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/** How {@link exportSafetensors} runs. */
export interface ExportOptions extends RunOptions {
  /** Type to round floats to, those of packed weights included; by default unchanged. */
  readonly dtype?: ExportDtype | undefined;
  /** Maximum bytes of tensors per file, unless a single tensor is larger. By default there is one file. */
  readonly shardBytes?: number | undefined;
  /** Replaces an existing folder. */
  readonly force?: boolean | undefined;
}

/**
 * Writes a model as a folder of safetensors as transformers expects it: `model.safetensors`, or shards and their index, and the files
 * that belong to it. The folder gets its name only when it is complete.
 * @throws {InputError} for weights out of the type's range, and an output that cannot be written.
 * @throws the signal's reason once it is aborted.
 */
export async function exportSafetensors(
  given: Model,
  folder: string,
  options: ExportOptions = {},
): Promise<void> {
  const { dtype, shardBytes = Infinity, force = false, signal } = options;
  signal?.throwIfAborted();
  const model = dtype === undefined ? given : await unpacked(given, signal);
  requireElements(model);
  const tensors = model.tensors.map((tensor) => asWritten(tensor, dtype));
  const total = sum(tensors);
  const shards = cut(tensors, shardBytes);
  const meter = new Meter(options, 'writing safetensors', total);
  await makeFolder(folder, inputsOf(model), force, async (making) => {
    for (const file of model.sideFiles) await copySideFile(file, making, dtype);
    const names = shards.map((_, i) => shardName(i, shards.length));
    for (const [i, shard] of shards.entries())
      await writeShard(model, shard, join(making, names[i]!), (bytes) => meter.add(bytes), signal);
    if (shards.length > 1) await writeWhole(join(making, INDEX_NAME), indexOf(shards, names, total), false);
    await model.verify?.();
    signal?.throwIfAborted();
  });
}

interface Written extends TensorInfo {
  /** The tensor in the model. */
  readonly source: TensorInfo;
}

function asWritten(source: TensorInfo, requested: ExportDtype | undefined): Written {
  const dtype: Dtype = requested !== undefined && canWiden(source.dtype) ? requested : source.dtype;
  return { ...source, dtype, lengthBytes: elementCount(source.shape) * DTYPE_BYTES[dtype], source };
}

function sum(tensors: readonly TensorInfo[]): number {
  return tensors.reduce((bytes, { lengthBytes }) => bytes + lengthBytes, 0);
}

/** Distributes tensors over shards in order, starting a new shard when the next tensor would exceed the size, as transformers does. */
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

/** Copies a side file, except the index of other shards; updates the float type in config.json. */
async function copySideFile(file: SideFile, folder: string, dtype: ExportDtype | undefined): Promise<void> {
  if (file.name === INDEX_NAME || file.name === TORCH_INDEX_NAME) return;
  const bytes = await file.read();
  const changed = file.name === 'config.json' && dtype !== undefined;
  const path = join(folder, file.name);
  await makeFolders(dirname(path));
  await writeWhole(path, changed ? withDtype(bytes, dtype) : bytes, false);
}

/** Sets the float type in a config, under both keys that transformers has used, and leaves the rest of the text unchanged. */
function withDtype(config: Uint8Array, dtype: ExportDtype): Uint8Array {
  const types = Object.values(EXPORT_DTYPES).join('|');
  const said = new RegExp(`("(?:torch_)?dtype"\\s*:\\s*)"(?:${types})"`, 'g');
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(config);
  return new TextEncoder().encode(text.replaceAll(said, `$1"${EXPORT_DTYPES[dtype]}"`));
}

/** Elements converted per step. */
const PIECE_ELEMENTS = 2 ** 18;

async function writeShard(
  model: Model,
  tensors: readonly Written[],
  path: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const output = await Output.create(path);
  try {
    await output.write(writeHeader(tensors, { format: 'pt' }).headerBytes);
    for (const tensor of tensors)
      for await (const bytes of convert(model, tensor, signal)) {
        await output.write(bytes);
        onBytes(bytes.length);
      }
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}

async function* convert(model: Model, { name, dtype, source }: Written, signal: AbortSignal | undefined) {
  const width = DTYPE_BYTES[source.dtype];
  const widen = dtype === source.dtype ? undefined : widenerOf(model, name, source.dtype);
  for (let start = 0; start < source.lengthBytes; start += PIECE_ELEMENTS * width) {
    const end = Math.min(source.lengthBytes, start + PIECE_ELEMENTS * width);
    const bytes = await model.readTensor(name, start, end, signal);
    if (widen) yield narrow(widen(bytes), dtype as ExportDtype, { file: model.id, tensor: name, start, end });
    else yield bytes;
  }
}

function narrow(values: Float32Array, dtype: ExportDtype, place: InputError['place']): Uint8Array {
  if (dtype === 'F16') requireFloat16(values, place, 'BF16 has the range of F32');
  return ELEMENTS[dtype](values.slice());
}
