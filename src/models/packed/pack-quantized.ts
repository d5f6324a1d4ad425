import { elementCount } from '../../core/dtype.js';
import { quote } from '../../core/json.js';
import type { TensorInfo } from '../../core/model.js';
import { unpackAt } from './bit-stream.js';
import { type PackedFormat, present, renamed, type Unpacked } from './format.js';
import { type Parts, SCALES, wordsOf } from './parts.js';
import { scaleGrid } from './scale-grid.js';

/** Bits that every version of compressed-tensors packs in the same way. */
const BITS = [4, 8, 2];

/**
 * `pack-quantized` of compressed-tensors: `weight_packed` I32 [outputs, inputs * bits / 32] of codes plus half their range, `weight_scale`
 * per row or group, `weight_shape`, and, packed along outputs, `weight_zero_point`.
 */
export const packQuantized: PackedFormat = {
  methods: ['compressed-tensors'],
  matches: ({ name, dtype }) => dtype === 'I32' && name.endsWith('weight_packed'),
  open: async (packed, parts: Parts, settings) => {
    const shape = await shapeOf(parts.need(packed, renamed(packed, 'packed', 'shape')), parts);
    const words = (bits: number) => Math.ceil((shape[1] * bits) / 32);
    const fits = (bits: number) => packed.shape[1] === words(bits) && packed.shape[0] === shape[0];
    const bits = [settings.bits ?? 4, ...BITS].find((own) => BITS.includes(own) && fits(own));
    if (packed.shape.length !== 2 || bits === undefined)
      parts.refuse(packed, `shape ${quote(packed.shape)} does not hold ${quote(shape)} in 2, 4 or 8 bits`);
    return open(packed, parts, { shape, bits, groupSize: settings.groupSize ?? 0 });
  },
};

/** Reads `weight_shape`. @throws {InputError} unless it has two sizes. */
async function shapeOf(tensor: TensorInfo, parts: Parts): Promise<[number, number]> {
  parts.check(tensor, ['I64', 'I32'], [2]);
  const words = wordsOf(await parts.bytes(tensor));
  const [outputs, inputs, above] =
    tensor.dtype === 'I32' ? [words[0]!, words[1]!, 0] : [words[0]!, words[2]!, words[1]! | words[3]!];
  if (above || outputs < 0 || inputs < 1) parts.refuse(tensor, 'expected the sizes of a matrix');
  return [outputs, inputs];
}

interface Layout {
  readonly shape: readonly [number, number];
  readonly bits: number;
  readonly groupSize: number;
}

function open(packed: TensorInfo, parts: Parts, { shape, bits, groupSize }: Layout): Unpacked {
  const part = (ending: string) => renamed(packed, 'packed', ending);
  const [scale, order] = [parts.need(packed, part('scale')), parts.find(part('g_idx'))];
  parts.check(scale, SCALES);
  const grid = scaleGrid(parts, scale, shape, [1, groupSize]);
  const { blockColumns, perRow, rowOf } = grid;
  const zero = parts.find(part('zero_point'));
  if (zero) parts.check(zero, ['I32'], [Math.ceil((shape[0] * bits) / 32), perRow]);
  if (zero && elementCount(scale.shape) !== shape[0] * perRow)
    parts.refuse(scale, 'zero points per row without scales per row');
  if (order) parts.check(order, ['I32'], [shape[1]]);
  const groupsOf = async (signal?: AbortSignal) => {
    const inOrder = Int32Array.from({ length: shape[1] }, (_, input) => Math.floor(input / blockColumns));
    const found = order ? await parts.integers(order, signal) : inOrder;
    if (found.every((group) => group === -1)) return inOrder; // not set
    const wrong = found.find((group) => !(group >= 0 && group < perRow));
    if (wrong !== undefined) parts.refuse(order!, `group ${wrong} of an input, there are ${perRow}`);
    return found;
  };
  const [words, columns] = [packed.shape[1]!, shape[1]];
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const codes = wordsOf(await parts.bytes(packed, first * words * 4, last * words * 4, signal));
    const [scales, groups] = [await grid.read(first, last, signal), await groupsOf(signal)];
    const zeros = zero && (await parts.integers(zero, signal));
    const values = new Float32Array((last - first) * columns);
    const centers = new Float32Array(perRow).fill(2 ** (bits - 1));
    for (let row = first, at = 0; row < last; row++) {
      const from = rowOf(row, first) * perRow;
      if (zeros)
        for (let group = 0; group < perRow; group++)
          centers[group] = unpackAt(zeros, bits, row, group, perRow);
      for (let column = 0; column < columns; column++, at++) {
        const group = groups[column]!;
        const code = unpackAt(codes, bits, column, (row - first) * words, 1);
        values[at] = (code - centers[group]!) * scales[from + group]!;
      }
    }
    return values;
  };
  const shapeTensor = parts.find(part('shape'));
  return {
    name: renamed(packed, '_packed', ''),
    shape,
    parts: present(packed, scale, shapeTensor, zero, order),
    rows,
  };
}
