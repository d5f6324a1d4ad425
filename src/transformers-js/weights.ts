import { layerPrefix } from '../architectures/forward.js';
import { DTYPE_BYTES } from '../core/dtype.js';
import { ELEMENTS, requireFloat16 } from '../core/elements.js';
import { toFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { transposed } from '../core/transposed.js';
import { type Codes, ONNX_GRIDS } from '../grids/onnx.js';
import { roundToGrids } from '../grids/round.js';
import type { EmbeddingModules } from '../inference/embedding/modules.js';
import type { Stage, Trunk } from '../inference/program.js';
import type { Part } from '../onnx/graph.js';
import type { Bits } from './encoding.js';
import type { StoredWeight } from './model-graph.js';

/** Elements per step; rows are not cut. */
const PIECE_ELEMENTS = 2 ** 20;

/** Where the elements of a weight are. */
export type WeightSource =
  | { readonly tensor: TensorInfo; readonly part: Part | undefined }
  | { readonly values: Float32Array };

/** Returns codes of a matrix that is quantized with statistics; undefined for one that is not. */
export type FindCodes = (tensor: string, bits: Bits) => Promise<Codes | undefined>;

/** Returns where the weights of a model's graph are, by their names in it. */
export function weightSources(
  { plan, embedding, layers }: Trunk,
  end: Stage,
  modules?: EmbeddingModules,
): ReadonlyMap<string, WeightSource> {
  const found = new Map<string, WeightSource>();
  const add = (prefix: string, { input, tensor, part }: Stage['weights'][number]) =>
    found.set(prefix + input, { tensor, part });
  for (const [layer, weights] of layers.entries())
    for (const weight of weights) {
      add('', weight); // of the model, such as a table that all layers share
      add(layerPrefix(plan, layer), weight);
    }
  for (const weight of [...embedding.weights, ...end.weights]) add('', weight);
  for (const [name, { values }] of modules?.weights ?? []) found.set(name, { values });
  return found;
}

/**
 * Yields the bytes of a weight's initializers, in order.
 * @throws {InputError} for bytes that do not decode, NaN and infinity.
 */
export async function* bytesOf(
  model: Model,
  weight: StoredWeight,
  source: WeightSource,
  findCodes?: FindCodes,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { encoding, shape, isTransposed } = weight;
  const columns = shape.at(-1) ?? 1;
  if ('float' in encoding) {
    for await (const floats of pieces(model, source, shape, signal)) {
      if (encoding.float === 16)
        requireFloat16(floats, { file: model.id, tensor: weight.name }, 'fp32 has the range of the weights');
      yield ELEMENTS[encoding.float === 16 ? 'F16' : 'F32'](floats);
    }
    return;
  }
  const known =
    'tensor' in source && !source.part ? await findCodes?.(source.tensor.name, encoding.bits) : undefined;
  const parts = known ? [known] : codesOf(model, source, shape, columns, encoding.bits, isTransposed, signal);
  const scales: Uint16Array[] = [];
  const zeros: Uint8Array[] = [];
  for await (const part of parts) {
    yield part.codes;
    scales.push(part.scales);
    if (part.zeros) zeros.push(part.zeros);
  }
  for (const part of scales) yield asBytes(part);
  yield* zeros;
}

/** Rounds a matrix to codes, some rows at a time; one that is stored by columns as a whole. */
async function* codesOf(
  model: Model,
  source: WeightSource,
  shape: readonly number[],
  columns: number,
  bits: Bits,
  isTransposed: boolean,
  signal?: AbortSignal,
): AsyncGenerator<Codes> {
  const { format, pack } = ONNX_GRIDS[bits];
  const name = 'tensor' in source ? source.tensor.name : '';
  const round = (values: Float32Array, length: number) =>
    pack(roundToGrids(name, values, values.length / length, length, format));
  if (isTransposed) {
    const [rows] = shape as [number, number];
    const whole = new Float32Array(rows * columns);
    let at = 0;
    for await (const floats of pieces(model, source, shape, signal)) {
      whole.set(floats, at);
      at += floats.length;
    }
    yield round(transposed(whole, rows, columns), rows);
    return;
  }
  for await (const floats of pieces(model, source, shape, signal)) yield round(floats, columns);
}

/** Reads a weight as float32, whole rows at a time. */
async function* pieces(
  model: Model,
  source: WeightSource,
  shape: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<Float32Array> {
  if ('values' in source) return yield source.values;
  const { tensor, part } = source;
  const total = shape.reduce((product, length) => product * length, 1);
  const width = DTYPE_BYTES[tensor.dtype];
  const first = part ? part.index * total : 0;
  const columns = shape.at(-1) ?? 1;
  const step = Math.max(1, Math.floor(PIECE_ELEMENTS / columns)) * columns;
  for (let start = 0; start < total; start += step) {
    const end = Math.min(total, start + step);
    const range = [(first + start) * width, (first + end) * width] as const;
    yield toFloats(model, tensor, await model.readTensor(tensor.name, ...range, signal));
  }
}

const asBytes = ({ buffer, byteOffset, byteLength }: Uint16Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);
