import { basename } from 'node:path';
import { embeddingsAreTied } from '../architectures/registry.js';
import { ELEMENTS } from '../codec/elements.js';
import { InputError } from '../errors.js';
import { DTYPE_BYTES, type Dtype, elementCount } from '../formats/dtype.js';
import { LastSlice, type ReadBytes, swapAxes } from '../formats/gguf/axes.js';
import { writeConfig } from '../formats/gguf/config.js';
import { type Config, countOf, type GgufFamily, swapOf } from '../formats/gguf/family.js';
import {
  aligned,
  type GgufEntry,
  type GgufTensorEntry,
  writeGgufHeader,
} from '../formats/gguf/header-writer.js';
import { GGUF_FAMILIES, toGguf } from '../formats/gguf/names.js';
import { quantiseQ8 } from '../formats/gguf/quantise.js';
import { FREQUENCY_FACTORS, factorsOf } from '../formats/gguf/rope.js';
import { tokenizerEntries } from '../formats/gguf/tokenizer-entries.js';
import { GGUF_TYPES, numberOfType } from '../formats/gguf/types.js';
import { findLicence } from '../formats/licence.js';
import type { Model, TensorInfo } from '../formats/model.js';
import { widenerOf } from '../forward/widen.js';
import { readTokenizerFiles } from '../tokenizer/tokenizer.js';
import { checkOutput, Output } from './output.js';

/** How matrices are written: by ggml's name. */
export type GgufWriteType = 'F32' | 'F16' | 'BF16' | 'Q8_0';

/** What each is called in `general.file_type`, and how elements of it are made of finite numbers, which are used up. */
const TYPES: Readonly<
  Record<GgufWriteType, { fileType: number; encode: (values: Float32Array) => Uint8Array }>
> = {
  F32: { fileType: 0, encode: ELEMENTS.F32 },
  F16: { fileType: 1, encode: ELEMENTS.F16 },
  Q8_0: { fileType: 7, encode: quantiseQ8 },
  BF16: { fileType: 32, encode: ELEMENTS.BF16 },
};

export interface GgufOptions {
  /** By default F16. Vectors and position embeddings are F32, as llama.cpp expects; Q8_0 rows that no blocks fill are F16. */
  readonly type?: GgufWriteType;
  /** Replace an existing file. */
  readonly force?: boolean;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Writes a model of llama, qwen2, gpt2 or gpt_neox as GGUF, with the metadata and the tokenizer that llama.cpp needs, tensor by
 * tensor. The file appears under its name only when it is whole.
 * @throws {InputError} for what llama.cpp does not compute, tensors that are missing or unknown, and a tokenizer that is no
 * byte-level BPE.
 */
export async function writeGguf(model: Model, path: string, options: GgufOptions = {}): Promise<void> {
  const { type = 'F16', force = false, onProgress, signal } = options;
  await checkOutput(path, [model.id], force);
  const { entries, tensors } = await planGguf(model, type);
  const header = writeGgufHeader(entries, tensors);
  const total = tensors.reduce((end, { lengthBytes }) => end + aligned(lengthBytes), header.length);
  const output = await Output.create(path);
  try {
    await output.write(header);
    for (const tensor of tensors) {
      for await (const bytes of tensor.pieces(signal)) {
        await output.write(bytes);
        onProgress?.(output.length, total);
      }
      await output.write(new Uint8Array(aligned(output.length) - output.length));
    }
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}

interface PlannedTensor extends GgufTensorEntry {
  pieces(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

interface Plan {
  readonly entries: readonly GgufEntry[];
  readonly tensors: readonly PlannedTensor[];
}

async function planGguf(model: Model, type: GgufWriteType): Promise<Plan> {
  const { config, id: file } = model;
  if (!config) throw new InputError('has no config.json, which says what the model is', { file });
  const family = GGUF_FAMILIES.find(({ modelType }) => modelType === config.model_type);
  if (!family)
    throw new InputError(
      `config.json: models of model_type ${String(config.model_type)} cannot be written as GGUF; those that can: ${GGUF_FAMILIES.map(({ modelType }) => modelType).join(', ')}`,
      { file },
    );
  const metadata = writeConfig(family, config, file);
  const tensors = planTensors(model, config, family, type);
  const factors = rotaryFactors(metadata, config, family, file);
  const vocabulary = tensors.find(({ name }) => name === 'token_embd.weight')!.shape[0]!;
  return {
    entries: [
      ...(await generalEntries(model, family, type)),
      ...metadata,
      { key: `${family.architecture}.vocab_size`, type: 'uint32', value: vocabulary },
      ...tokenizerEntries(await readTokenizerFiles(model), config, vocabulary, file),
    ],
    tensors: factors ? [factors, ...tensors] : tensors,
  };
}

async function generalEntries(
  model: Model,
  { architecture }: GgufFamily,
  type: GgufWriteType,
): Promise<GgufEntry[]> {
  const licence = await findLicence(model.sideFiles);
  return [
    { key: 'general.architecture', type: 'string', value: architecture },
    { key: 'general.type', type: 'string', value: 'model' },
    { key: 'general.name', type: 'string', value: basename(model.id) },
    ...(licence.id === 'unknown'
      ? []
      : [{ key: 'general.license', type: 'string' as const, value: licence.id }]),
    { key: 'general.file_type', type: 'uint32', value: TYPES[type].fileType },
    { key: 'general.quantization_version', type: 'uint32', value: 2 },
  ];
}

function planTensors(model: Model, config: Config, family: GgufFamily, type: GgufWriteType): PlannedTensor[] {
  const rename = toGguf(family);
  const tied = embeddingsAreTied(config) ?? false;
  const last = new LastSlice();
  const planned = model.tensors.flatMap((tensor): PlannedTensor[] => {
    if (family.buffers.test(tensor.name)) return [];
    const mapped = rename(tensor.name);
    if (!mapped)
      throw new InputError(`has no place in a GGUF file of ${family.modelType}`, {
        file: model.id,
        tensor: tensor.name,
      });
    const { name, layout } = mapped;
    if (name === 'output.weight' && tied) return [];
    const swap = layout && swapOf(layout, tensor.shape, config, tensor.name);
    const whole: ReadBytes = (start, end, signal) => model.readTensor(tensor.name, start, end, signal);
    const read = swap ? swapAxes(whole, tensor.lengthBytes, swap, last) : whole;
    const shape = layout?.transposes ? [...tensor.shape].reverse() : tensor.shape;
    return [planTensor(model, tensor, { name, shape, read }, type)];
  });
  const embedding = planned.find(({ name }) => name === 'token_embd.weight');
  if (family.needsOutput && tied && embedding) planned.push({ ...embedding, name: 'output.weight' });
  checkComplete(planned, config, family, model.id);
  return planned;
}

/** @throws {InputError} naming the first matrix that llama.cpp would miss. */
function checkComplete(
  tensors: readonly PlannedTensor[],
  config: Config,
  family: GgufFamily,
  file: string,
): void {
  const names = new Set(tensors.map(({ name }) => name));
  const layersField = family.fields.find(({ key }) => key === 'block_count')!.field;
  const needed = family.stems.filter(([gguf]) => gguf !== 'output' || !(embeddingsAreTied(config) ?? false));
  for (const [gguf, hub] of needed)
    for (let layer = 0; layer < (gguf.includes('*') ? countOf(config, layersField) : 1); layer++)
      if (!names.has(`${gguf.replace('*', String(layer))}.weight`))
        throw new InputError('missing', { file, tensor: `${hub.replace('*', String(layer))}.weight` });
}

interface AsGguf {
  readonly name: string;
  readonly shape: readonly number[];
  readonly read: ReadBytes;
}

/** Elements that are converted at a time: whole blocks. */
const PIECE_ELEMENTS = 2 ** 18;

function planTensor(
  model: Model,
  source: TensorInfo,
  { name, shape, read }: AsGguf,
  asked: GgufWriteType,
): PlannedTensor {
  const chosen = typeFor(asked, name, shape);
  const type = GGUF_TYPES[numberOfType(chosen)]!;
  const elements = elementCount(shape);
  const lengthBytes = (elements / type.blockElements) * type.blockBytes;
  const widen = widenerOf(model, source.name, source.dtype);
  const sourceBytes = DTYPE_BYTES[source.dtype];
  async function* pieces(signal?: AbortSignal) {
    for (let start = 0; start < elements; start += PIECE_ELEMENTS) {
      const end = Math.min(elements, start + PIECE_ELEMENTS);
      const bytes = await read(start * sourceBytes, end * sourceBytes, signal);
      if ((chosen as Dtype) === source.dtype) yield bytes;
      else yield TYPES[chosen].encode(finite(widen(bytes), start, source.name, model.id));
    }
  }
  return { name, type, shape, lengthBytes, pieces };
}

function typeFor(asked: GgufWriteType, name: string, shape: readonly number[]): GgufWriteType {
  if (shape.length < 2 || name === 'position_embd.weight') return 'F32';
  return asked === 'Q8_0' && shape.at(-1)! % 32 ? 'F16' : asked;
}

/** NaN and infinity have no place in blocks that share a scale, and llama.cpp makes nothing of them. */
function finite(values: Float32Array, start: number, tensor: string, file: string): Float32Array {
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return values.slice();
  throw new InputError(`element ${start + wrong} is ${values[wrong]}; weights must be finite`, {
    file,
    tensor,
  });
}

/** Llama 3 scales its rotary frequencies by a tensor of the file. */
function rotaryFactors(
  metadata: readonly GgufEntry[],
  config: Config,
  { architecture }: GgufFamily,
  file: string,
): PlannedTensor | undefined {
  const numberAt = (key: string) =>
    Number(metadata.find((entry) => entry.key === `${architecture}.${key}`)?.value);
  const factors = factorsOf(config, numberAt('rope.dimension_count'), numberAt('rope.freq_base'), file);
  if (!factors) return undefined;
  async function* pieces() {
    yield ELEMENTS.F32(factors!);
  }
  const type = GGUF_TYPES[numberOfType('F32')]!;
  return { name: FREQUENCY_FACTORS, type, shape: [factors.length], lengthBytes: factors.byteLength, pieces };
}
