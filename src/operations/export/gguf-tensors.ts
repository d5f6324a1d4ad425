import type { ForwardPlan } from '../../architectures/forward.js';
import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import { requireFloat16 } from '../../core/elements.js';
import { InputError } from '../../core/errors.js';
import { widenerOf } from '../../core/floats.js';
import type { Model, TensorInfo } from '../../core/model.js';
import { LastSlice } from '../../models/gguf/axes.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { GgufTensorEntry } from '../../models/gguf/header-writer.js';
import { bundlesOf, finderOf, toGguf } from '../../models/gguf/tensor-map.js';
import { type GgufType, typeNamed } from '../../models/gguf/types.js';
import type { View } from '../../models/gguf/views.js';
import { ENCODINGS, type GgufWriteType, typeFor } from './gguf-types.js';

/** A tensor to write, whose bytes are converted on demand. */
export interface PlannedTensor extends GgufTensorEntry {
  pieces(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** A tensor of a GGUF file, which can be read in its order of elements, and where they are in the model. */
export interface GgufView extends View {
  /** Its name where llama.cpp has one, which says what it is for: `blk.0.attn_q.weight`. */
  readonly role: string;
  /** The tensors that it is made of: several that are stacked, or one, of which it may be a part. */
  readonly sources: readonly TensorInfo[];
  /**
   * Returns the same view of the places of elements, with a cache of its own: matrices that are read in turn would evict each other's.
   * Undefined where elements are in the order of the only source.
   */
  readonly places: (() => View) | undefined;
  /** What an embedding is used for, where the head is a tensor of its own with the same elements. */
  readonly use?: 'embedding' | 'head';
}

/**
 * Maps a model's tensors to those of GGUF, in the model's order, without reading them.
 * @throws {InputError} for heads or experts that do not divide a tensor.
 */
export function viewsOf(model: Model, gguf: GgufFamily, plan: ForwardPlan): GgufView[] {
  const find = finderOf(model, plan);
  const last = new LastSlice();
  const order = new Map(model.tensors.map(({ name }, i) => [name, i]));
  const bundles = bundlesOf(gguf, plan).map((bundle) => ({
    bundle,
    sources: bundle.hub.map(({ name }) => find(name)),
  }));
  const placeOf = ({ sources }: { readonly sources: readonly TensorInfo[] }) =>
    Math.min(...sources.map(({ name }) => order.get(name)!));
  const views = bundles
    .sort((a, b) => placeOf(a) - placeOf(b))
    .flatMap(({ bundle, sources }) => {
      const { swaps, cut } = bundle.layout;
      const isMoved = swaps || cut || sources.length > 1;
      return toGguf(
        bundle,
        sources.map((source) => viewOf(model, source)),
        last,
      ).map((view, i): GgufView => {
        const places = () => toGguf(bundle, sources.map(placesOf), new LastSlice())[i]!;
        return { ...view, role: view.name, sources, places: isMoved ? places : undefined };
      });
    });
  const embedding = views.findIndex(({ name }) => name === EMBEDDING);
  if (!gguf.needsOutput || !plan.head.tied || embedding < 0) return views;
  const own = views[embedding]!;
  const head = { ...own, name: OUTPUT, role: OUTPUT, use: 'head' } as const;
  return [...views.with(embedding, { ...own, use: 'embedding' }), head];
}

const EMBEDDING = 'token_embd.weight';
const OUTPUT = 'output.weight';

/** Returns a tensor of a model as it is. */
export function viewOf(model: Model, { name, dtype, shape }: TensorInfo): View {
  const read: View['read'] = (start, end, signal) => model.readTensor(name, start, end, signal);
  return { name, dtype, shape, read };
}

/** Places of a source's elements: its number times this, plus the element's index in it. */
export const PLACES_PER_SOURCE = 2 ** 44;

/** Returns a tensor whose elements are their own places, as float64. */
function placesOf({ name, shape }: TensorInfo, source: number): View {
  const first = source * PLACES_PER_SOURCE;
  const read = async (start: number, end: number) => {
    const places = new Float64Array((end - start) / 8);
    for (let i = 0; i < places.length; i++) places[i] = first + start / 8 + i;
    return new Uint8Array(places.buffer);
  };
  return { name, dtype: 'F64', shape, read };
}

/** Elements converted per step: whole blocks. */
const PIECE_ELEMENTS = 2 ** 18;

const F16_HINT = 'BF16 and F32 have the range of the weights';

/** Plans a tensor of a type that needs no quantizer. */
export function planTensor(model: Model, view: GgufView, requested: GgufWriteType): PlannedTensor {
  const { name, role, dtype, shape } = view;
  const chosen = typeFor(requested, role, shape);
  const type = typeNamed(chosen);
  const elements = elementCount(shape);
  const sourceBytes = DTYPE_BYTES[dtype];
  widenerOf(model, view.sources[0]!.name, dtype);
  async function* pieces(signal?: AbortSignal) {
    for (let start = 0; start < elements; start += PIECE_ELEMENTS) {
      const end = Math.min(elements, start + PIECE_ELEMENTS);
      if (chosen === dtype) yield await view.read(start * sourceBytes, end * sourceBytes, signal);
      else {
        const weights = await readWeights(model, view, start, end, signal);
        if (chosen === 'F16') requireFloat16(weights, { file: model.id, tensor: name }, F16_HINT);
        yield ENCODINGS[chosen].encode(weights);
      }
    }
  }
  return { name, type, shape, lengthBytes: storedBytes(type, shape), pieces };
}

/** Returns the bytes of a tensor of a type. */
export function storedBytes({ blockElements, blockBytes }: GgufType, shape: readonly number[]): number {
  return (elementCount(shape) / blockElements) * blockBytes;
}

/**
 * Reads elements `start` to `end` (exclusive) of a view as float32, in memory of their own.
 * @throws {InputError} for NaN and infinity, which would corrupt a whole block.
 */
export async function readWeights(
  model: Model,
  view: GgufView,
  start: number,
  end: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { dtype, sources, read } = view;
  const width = DTYPE_BYTES[dtype];
  const widen = widenerOf(model, sources[0]!.name, dtype);
  const values = widen(await read(start * width, end * width, signal));
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return values.slice();
  const { tensor, element } = await placeOf(view, start + wrong);
  throw new InputError(`element ${element} is ${values[wrong]}; weights must be finite`, {
    file: model.id,
    tensor,
  });
}

/** Returns where an element of a view is in the model. */
async function placeOf({ sources, places }: GgufView, index: number) {
  if (!places) return { tensor: sources[0]!.name, element: index };
  const bytes = await places().read(index * DTYPE_BYTES.F64, (index + 1) * DTYPE_BYTES.F64);
  const [place] = new Float64Array(bytes.slice().buffer) as unknown as [number];
  return {
    tensor: sources[Math.floor(place / PLACES_PER_SOURCE)]!.name,
    element: place % PLACES_PER_SOURCE,
  };
}

/** Returns a tensor with divisors of rotary frequencies. */
export function planFactors([name, factors]: readonly [name: string, factors: Float32Array]): PlannedTensor {
  async function* pieces() {
    yield new Uint8Array(factors.buffer);
  }
  const { byteLength: lengthBytes, length } = factors;
  return { name, type: typeNamed('F32'), shape: [length], lengthBytes, pieces };
}
