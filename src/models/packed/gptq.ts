import type { TensorInfo } from '../../core/model.js';
import { unpackAt } from './bit-stream.js';
import { type PackedFormat, present, renamed, type Unpacked } from './format.js';
import { type Parts, SCALES, TILE_INPUTS, TILE_OUTPUTS, wordsOf } from './parts.js';

const BITS = [2, 3, 4, 8];

/**
 * GPTQ: `qweight` I32 [inputs * bits / 32, outputs] packed along inputs, `qzeros` I32 [groups, outputs * bits / 32], `scales` [groups,
 * outputs] and the group of each input in `g_idx`. Zero points are stored minus 1, except in format `gptq_v2`.
 */
export const gptq: PackedFormat = {
  methods: ['gptq'],
  matches: ({ name, dtype }) => dtype === 'I32' && name.endsWith('.qweight'),
  open: (qweight, parts, { bits = 4, groupSize, given }) => {
    const format = String(given.checkpoint_format ?? given.format ?? 'gptq');
    if (!['gptq', 'gptq_v2'].includes(format))
      parts.refuse(qweight, `unsupported format ${format} of GPTQ, expected gptq or gptq_v2`);
    if (!BITS.includes(bits))
      parts.refuse(qweight, `expected ${BITS.join(', ')} bits per weight, found ${bits}`);
    return open(qweight, parts, { bits, groupSize, isPlusOne: format === 'gptq' });
  },
};

interface Gptq {
  readonly bits: number;
  readonly groupSize: number | undefined;
  /** Whether zero points are stored minus 1. */
  readonly isPlusOne: boolean;
}

function open(qweight: TensorInfo, parts: Parts, { bits, groupSize, isPlusOne }: Gptq): Unpacked {
  const part = (ending: string) => renamed(qweight, 'qweight', ending);
  const scales = parts.need(qweight, part('scales'));
  const qzeros = parts.need(qweight, part('qzeros'));
  const order = parts.find(part('g_idx'));
  const [words = 0, outputs = 0] = qweight.shape;
  const inputs = Math.floor((words * 32) / bits);
  const groups = scales.shape[0] ?? 0;
  parts.check(qweight, ['I32'], [(inputs * bits) / 32, outputs]);
  parts.check(scales, SCALES, [groups, outputs]);
  parts.check(qzeros, ['I32'], [groups, Math.ceil((outputs * bits) / 32)]);
  if (order) parts.check(order, ['I32'], [inputs]);
  const perGroup = groupSize ?? inputs;
  if (!order && groups !== Math.ceil(inputs / perGroup))
    parts.refuse(scales, `${groups} groups of scales for ${inputs} inputs in groups of ${perGroup}`);
  const groupsOf = async (signal?: AbortSignal) => {
    if (!order) return Int32Array.from({ length: inputs }, (_, input) => Math.floor(input / perGroup));
    const found = await parts.integers(order, signal);
    const wrong = found.find((group) => !(group >= 0 && group < groups));
    if (wrong !== undefined) parts.refuse(order, `group ${wrong} of an input, there are ${groups}`);
    return found;
  };
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const codes = wordsOf(await parts.keep(qweight, undefined, undefined, signal));
    const [groupOf, packed] = [await groupsOf(signal), await parts.integers(qzeros, signal)];
    const factors = await parts.numbers(scales, undefined, undefined, signal);
    const zeros = new Int32Array(groups * outputs);
    for (let group = 0; group < groups; group++)
      for (let output = first; output < last; output++) {
        const stored = unpackAt(packed, bits, output, group * qzeros.shape[1]!, 1);
        zeros[group * outputs + output] = isPlusOne ? (stored + 1) % 2 ** bits : stored;
      }
    return decode({ bits, inputs, outputs, codes, groupOf, zeros, factors }, first, last);
  };
  return {
    name: part('weight'),
    shape: [outputs, inputs],
    parts: present(qweight, qzeros, scales, order),
    rows,
  };
}

interface Codes {
  readonly bits: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly codes: Int32Array;
  /** [inputs]. */
  readonly groupOf: Int32Array;
  /** [groups, outputs]. */
  readonly zeros: Int32Array;
  /** [groups, outputs]. */
  readonly factors: Float32Array;
}

/** Decodes outputs `first` to `last` (exclusive), tile by tile, because they lie along columns. */
function decode(own: Codes, first: number, last: number): Float32Array {
  const { bits, inputs, outputs, codes, groupOf, zeros, factors } = own;
  const values = new Float32Array((last - first) * inputs);
  for (let tile = first; tile < last; tile += TILE_OUTPUTS)
    for (let start = 0; start < inputs; start += TILE_INPUTS) {
      const [end, stop] = [Math.min(last, tile + TILE_OUTPUTS), Math.min(inputs, start + TILE_INPUTS)];
      for (let output = tile; output < end; output++) {
        const row = (output - first) * inputs;
        for (let input = start; input < stop; input++) {
          const place = groupOf[input]! * outputs + output;
          values[row + input] =
            (unpackAt(codes, bits, input, output, outputs) - zeros[place]!) * factors[place]!;
        }
      }
    }
  return values;
}
