import type { TensorInfo } from '../../core/model.js';
import { type PackedFormat, renamed, type Unpacked } from './format.js';
import { type Parts, SCALES, TILE_INPUTS, TILE_OUTPUTS, wordsOf } from './parts.js';

/** Shift of each of 8 outputs in a word, which holds them in the order 0 2 4 6 1 3 5 7. */
const SHIFTS = [0, 16, 4, 20, 8, 24, 12, 28];

/** AWQ in the layout of its GEMM kernel: `qweight` I32 [inputs, outputs / 8], `qzeros` I32 [groups, outputs / 8], `scales` [groups, outputs]. */
export const awq: PackedFormat = {
  methods: ['awq'],
  matches: ({ name, dtype }) => dtype === 'I32' && name.endsWith('.qweight'),
  open: (qweight, parts, { bits = 4, groupSize, given }) => {
    const layout = String(given.version ?? given.format ?? 'gemm').toLowerCase();
    if (layout !== 'gemm') parts.refuse(qweight, `unsupported layout ${layout} of AWQ, expected gemm`);
    if (bits !== 4) parts.refuse(qweight, `expected 4 bits per weight, found ${bits}`);
    return open(qweight, parts, groupSize);
  },
};

function open(qweight: TensorInfo, parts: Parts, groupSize: number | undefined): Unpacked {
  const part = (ending: string) => renamed(qweight, 'qweight', ending);
  const scales = parts.need(qweight, part('scales'));
  const qzeros = parts.need(qweight, part('qzeros'));
  const [inputs = 0, words = 0] = qweight.shape;
  const outputs = words * 8;
  const perGroup = groupSize ?? Math.max(1, inputs);
  const groups = Math.ceil(inputs / perGroup);
  parts.check(qweight, ['I32'], [inputs, words]);
  parts.check(scales, SCALES, [groups, outputs]);
  parts.check(qzeros, ['I32'], [groups, words]);
  const rows = async (first: number, last: number, signal?: AbortSignal) => {
    const codes = wordsOf(await parts.keep(qweight, undefined, undefined, signal));
    const zeros = await parts.integers(qzeros, signal);
    const factors = await parts.numbers(scales, undefined, undefined, signal);
    const values = new Float32Array((last - first) * inputs);
    for (let tile = first; tile < last; tile += TILE_OUTPUTS)
      for (let start = 0; start < inputs; start += TILE_INPUTS) {
        const [end, stop] = [Math.min(last, tile + TILE_OUTPUTS), Math.min(inputs, start + TILE_INPUTS)];
        for (let output = tile; output < end; output++) {
          const [word, shift, row] = [output >> 3, SHIFTS[output & 7]!, (output - first) * inputs];
          for (let input = start; input < stop; input++) {
            const group = Math.floor(input / perGroup);
            const zero = (zeros[group * words + word]! >>> shift) & 15;
            const code = (codes[input * words + word]! >>> shift) & 15;
            values[row + input] = (code - zero) * factors[group * outputs + output]!;
          }
        }
      }
    return values;
  };
  return { name: part('weight'), shape: [outputs, inputs], parts: [qweight, qzeros, scales], rows };
}
