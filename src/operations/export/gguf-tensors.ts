import type { ForwardPlan } from '../../architectures/forward.js';
import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { widenerOf } from '../../core/floats.js';
import type { Model, TensorInfo } from '../../core/model.js';
import { LastSlice } from '../../models/gguf/axes.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { GgufTensorEntry } from '../../models/gguf/header-writer.js';
import { bundlesOf, finderOf, toGguf } from '../../models/gguf/tensor-map.js';
import { typeNamed } from '../../models/gguf/types.js';
import type { View } from '../../models/gguf/views.js';
import { ENCODINGS, type GgufWriteType, typeFor } from './gguf-types.js';

/** A tensor to write, whose bytes are converted on demand. */
export interface PlannedTensor extends GgufTensorEntry {
  pieces(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/**
 * Maps a model's tensors to those of GGUF, in the model's order, without reading them.
 * @throws {InputError} for heads or experts that do not divide a tensor.
 */
export function planTensors(
  model: Model,
  gguf: GgufFamily,
  plan: ForwardPlan,
  type: GgufWriteType,
): PlannedTensor[] {
  const find = finderOf(model, plan);
  const last = new LastSlice();
  const places = new Map(model.tensors.map(({ name }, i) => [name, i]));
  const bundles = bundlesOf(gguf, plan).map((bundle) => ({
    bundle,
    sources: bundle.hub.map(({ name }) => find(name)),
  }));
  const placeOf = ({ sources }: { readonly sources: readonly TensorInfo[] }) =>
    Math.min(...sources.map(({ name }) => places.get(name)!));
  const planned = bundles
    .sort((a, b) => placeOf(a) - placeOf(b))
    .flatMap(({ bundle, sources }) => {
      const views = sources.map(({ name, dtype, shape }) => ({
        name,
        dtype,
        shape,
        read: (start: number, end: number, signal?: AbortSignal) =>
          model.readTensor(name, start, end, signal),
      }));
      return toGguf(bundle, views, last).map((view) => planTensor(model, sources[0]!.name, view, type));
    });
  const embedding = planned.find(({ name }) => name === 'token_embd.weight');
  if (gguf.needsOutput && plan.head.tied && embedding) planned.push({ ...embedding, name: 'output.weight' });
  return planned;
}

/** Elements converted per step: whole blocks. */
const PIECE_ELEMENTS = 2 ** 18;

function planTensor(
  model: Model,
  source: string,
  { name, dtype, shape, read }: View,
  requested: GgufWriteType,
): PlannedTensor {
  const chosen = typeFor(requested, name, shape);
  const type = typeNamed(chosen);
  const elements = elementCount(shape);
  const widen = widenerOf(model, source, dtype);
  const sourceBytes = DTYPE_BYTES[dtype];
  async function* pieces(signal?: AbortSignal) {
    for (let start = 0; start < elements; start += PIECE_ELEMENTS) {
      const end = Math.min(elements, start + PIECE_ELEMENTS);
      const bytes = await read(start * sourceBytes, end * sourceBytes, signal);
      if (chosen === dtype) yield bytes;
      else yield ENCODINGS[chosen].encode(finite(widen(bytes), start, source, model.id));
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

/** Returns a tensor with divisors of rotary frequencies. */
export function planFactors([name, factors]: readonly [name: string, factors: Float32Array]): PlannedTensor {
  async function* pieces() {
    yield new Uint8Array(factors.buffer);
  }
  const { byteLength: lengthBytes, length } = factors;
  return { name, type: typeNamed('F32'), shape: [length], lengthBytes, pieces };
}
