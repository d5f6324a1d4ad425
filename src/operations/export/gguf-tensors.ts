import { embeddingsAreTied } from '../../architectures/registry.js';
import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { widenerOf } from '../../core/floats.js';
import type { Config } from '../../core/json.js';
import type { Model, TensorInfo } from '../../core/model.js';
import { LastSlice, type ReadBytes, swapAxes } from '../../models/gguf/axes.js';
import { countOf, type GgufFamily, swapOf } from '../../models/gguf/family.js';
import type { GgufTensorEntry } from '../../models/gguf/header-writer.js';
import { toGguf } from '../../models/gguf/names.js';
import { FREQUENCY_FACTORS } from '../../models/gguf/rope.js';
import { typeNamed } from '../../models/gguf/types.js';
import { ENCODINGS, type GgufWriteType, typeFor } from './gguf-types.js';

/** A tensor to write, whose bytes are converted on demand. */
export interface PlannedTensor extends GgufTensorEntry {
  pieces(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/**
 * Maps a model's tensors to GGUF names, in the model's order, without reading them.
 * @throws {InputError} for tensors that the architecture does not have, and for missing matrices.
 */
export function planTensors(
  model: Model,
  config: Config,
  family: GgufFamily,
  type: GgufWriteType,
): PlannedTensor[] {
  const rename = toGguf(family);
  const tied = embeddingsAreTied(config) ?? false;
  const last = new LastSlice();
  const planned = model.tensors.flatMap((tensor) => {
    if (family.buffers.test(tensor.name)) return [];
    const mapped = rename(tensor.name);
    if (!mapped)
      throw new InputError(`unknown tensor for a GGUF file of ${family.modelType}`, {
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

function checkComplete(
  tensors: readonly PlannedTensor[],
  config: Config,
  { fields, stems, needsOutput }: GgufFamily,
  file: string,
): void {
  const names = new Set(tensors.map(({ name }) => name));
  const hasOutput = needsOutput || !embeddingsAreTied(config);
  const layers = countOf(config, fields.find(({ key }) => key === 'block_count')!.field);
  for (const [gguf, hub] of stems)
    for (let layer = 0; layer < (gguf.includes('*') ? layers : 1); layer++) {
      const has = names.has(`${gguf.replace('*', String(layer))}.weight`);
      if (!has && (gguf !== 'output' || hasOutput))
        throw new InputError('missing', { file, tensor: `${hub.replace('*', String(layer))}.weight` });
    }
}

interface AsGguf {
  readonly name: string;
  readonly shape: readonly number[];
  readonly read: ReadBytes;
}

/** Elements converted per step: whole blocks. */
const PIECE_ELEMENTS = 2 ** 18;

function planTensor(
  model: Model,
  source: TensorInfo,
  { name, shape, read }: AsGguf,
  requested: GgufWriteType,
): PlannedTensor {
  const chosen = typeFor(requested, name, shape);
  const type = typeNamed(chosen);
  const elements = elementCount(shape);
  const widen = widenerOf(model, source.name, source.dtype);
  const sourceBytes = DTYPE_BYTES[source.dtype];
  async function* pieces(signal?: AbortSignal) {
    for (let start = 0; start < elements; start += PIECE_ELEMENTS) {
      const end = Math.min(elements, start + PIECE_ELEMENTS);
      const bytes = await read(start * sourceBytes, end * sourceBytes, signal);
      if (chosen === source.dtype) yield bytes;
      else yield ENCODINGS[chosen].encode(finite(widen(bytes), start, source.name, model.id));
    }
  }
  return { name, type, shape, lengthBytes: (elements / type.blockElements) * type.blockBytes, pieces };
}

/** Returns a copy. @throws {InputError} for NaN and infinity, which would corrupt a whole block. */
function finite(values: Float32Array, start: number, tensor: string, file: string): Float32Array {
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return values.slice();
  throw new InputError(`element ${start + wrong} is ${values[wrong]}; weights must be finite`, {
    file,
    tensor,
  });
}

/** Returns the tensor with Llama 3's scaling of rotary positions. */
export function planFactors(factors: Float32Array): PlannedTensor {
  async function* pieces() {
    yield new Uint8Array(factors.buffer);
  }
  const { byteLength: lengthBytes, length } = factors;
  return { name: FREQUENCY_FACTORS, type: typeNamed('F32'), shape: [length], lengthBytes, pieces };
}
