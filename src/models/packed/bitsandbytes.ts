import { elementCount } from '../../core/dtype.js';
import { parseJsonObject, quote } from '../../core/json.js';
import type { TensorInfo } from '../../core/model.js';
import { type PackedFormat, present, renamed, type Unpacked } from './format.js';
import type { Parts } from './parts.js';

/** Maximum bytes of the JSON that describes one matrix. */
const MAX_STATE_BYTES = 2 ** 16;

/** NF4 and FP4 of bitsandbytes: `weight` U8 [n / 2, 1], the high half first, of codes of `quant_map`, times an `absmax` per block. */
export const fourBits: PackedFormat = {
  methods: ['bitsandbytes'],
  matches: ({ name, dtype }) => dtype === 'U8' && name.endsWith('.weight'),
  open: async (weight, parts) => {
    const types = ['nf4', 'fp4'].map((type) => `${weight.name}.quant_state.bitsandbytes__${type}`);
    const state = parts.need(weight, ...types);
    return openBlocks(weight, parts, state, await readState(state, parts));
  },
};

/** LLM.int8 of bitsandbytes: `weight` I8 [outputs, inputs], times `SCB` [outputs], over 127. */
export const llmInt8: PackedFormat = {
  methods: ['bitsandbytes'],
  matches: ({ name, dtype }) => dtype === 'I8' && name.endsWith('.weight'),
  open: (weight, parts) => openInt8(weight, parts),
};

interface State {
  readonly shape: readonly number[];
  readonly blockSize: number;
  /** Of the absmax of blocks, which are quantized themselves; undefined where they are floats. */
  readonly nested: { readonly blockSize: number; readonly offset: number } | undefined;
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

async function readState(state: TensorInfo, parts: Parts): Promise<State> {
  parts.check(state, ['U8']);
  if (state.lengthBytes > MAX_STATE_BYTES) parts.refuse(state, `over the limit of ${MAX_STATE_BYTES} bytes`);
  const { value } = parseJsonObject(await parts.bytes(state), state.name);
  const { shape, blocksize, nested_blocksize: inner, nested_offset: offset } = value;
  const isMatrix = Array.isArray(shape) && shape.length === 2 && shape.every(isSize);
  if (!isMatrix || !isSize(blocksize)) parts.refuse(state, `unexpected content ${quote(value)}`);
  const nested = isSize(inner) && typeof offset === 'number' ? { blockSize: inner, offset } : undefined;
  return { shape, blockSize: blocksize, nested };
}

function openBlocks(
  weight: TensorInfo,
  parts: Parts,
  state: TensorInfo,
  { shape, blockSize, nested }: State,
): Unpacked {
  const elements = elementCount(shape);
  const part = (ending: string) => parts.need(weight, `${weight.name}.${ending}`);
  const [absmax, map] = [part('absmax'), part('quant_map')];
  const blocks = Math.ceil(elements / blockSize);
  if (elementCount(weight.shape) !== Math.ceil(elements / 2))
    parts.refuse(weight, `${elementCount(weight.shape)} bytes do not hold ${quote(shape)} in 4 bits`);
  parts.check(absmax, [nested ? 'U8' : 'F32'], [blocks]);
  parts.check(map, ['F32'], [16]);
  const outer = nested && [part('nested_absmax'), part('nested_quant_map')];
  if (nested) parts.check(outer![0]!, ['F32'], [Math.ceil(blocks / nested.blockSize)]);
  if (nested) parts.check(outer![1]!, ['F32'], [256]);
  const readScales = async (first: number, last: number, signal?: AbortSignal) => {
    if (!nested) return parts.numbers(absmax, first, last, signal);
    const [scales, codes] = await Promise.all(
      outer!.map((own) => parts.numbers(own, undefined, undefined, signal)),
    );
    const bytes = await parts.bytes(absmax, first, last, signal);
    return Float32Array.from(bytes, (code, i) => {
      const scale = scales![Math.floor((first + i) / nested.blockSize)]!;
      return Math.fround(codes![code]! * scale) + Math.fround(nested.offset);
    });
  };
  const columns = shape[1]!;
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const [from, to] = [first * columns, last * columns];
    const firstBlock = Math.floor(from / blockSize);
    const scales = await readScales(firstBlock, Math.ceil(to / blockSize), signal);
    const levels = await parts.numbers(map, undefined, undefined, signal);
    const codes = await parts.bytes(weight, from >> 1, (to + 1) >> 1, signal);
    const values = new Float32Array(to - from);
    for (let i = from; i < to; i++) {
      const code = (codes[(i >> 1) - (from >> 1)]! >> (i & 1 ? 0 : 4)) & 15;
      values[i - from] = levels[code]! * scales[Math.floor(i / blockSize) - firstBlock]!;
    }
    return values;
  };
  return { name: weight.name, shape, parts: present(weight, absmax, map, ...(outer ?? []), state), rows };
}

/** 1 / 127 as bitsandbytes has it. */
const INVERSE_127 = Math.fround(0.007874015748031496);

function openInt8(weight: TensorInfo, parts: Parts): Unpacked {
  const part = (ending: string) => renamed(weight, 'weight', ending);
  const scale = parts.need(weight, part('SCB'));
  const format = parts.find(part('weight_format'));
  const [outputs = 0, inputs = 0] = weight.shape;
  parts.check(weight, ['I8'], [outputs, inputs]);
  parts.check(scale, ['F32'], [outputs]);
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const [layout = 0] = format ? await parts.bytes(format, undefined, undefined, signal) : [];
    if (layout !== 0) parts.refuse(format!, `unsupported layout ${layout} of int8, expected 0: rows`);
    const values = await parts.numbers(weight, first * inputs, last * inputs, signal);
    const scales = await parts.numbers(scale, first, last, signal);
    for (let i = 0; i < values.length; i++)
      values[i] = Math.fround(values[i]! * scales[Math.floor(i / inputs)]!) * INVERSE_127;
    return values;
  };
  return { name: weight.name, shape: weight.shape, parts: present(weight, scale, format), rows };
}
