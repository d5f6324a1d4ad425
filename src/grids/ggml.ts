import { toFloat16 } from '../core/float16.js';
import { sumOf } from '../core/sum.js';
import { type GridCodes, type GridFormat, type Pack, type Range, wholeNumbers } from './format.js';

/** A type of ggml whose weights are codes on grids. */
export interface GgmlGrid {
  readonly format: GridFormat;
  /** Takes whole blocks per row. Units and float16 scales are finite. */
  readonly pack: Pack;
}

/** Levels of IQ4_NL and IQ4_XS. */
export const NONLINEAR = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** A member of the struct that a block is in ggml-common.h. */
interface Member {
  readonly bytes: number;
  /** Packs a block's member at byte `at` of `out`. */
  readonly pack: (matrix: GridCodes, block: number, out: Uint8Array, at: number) => void;
}

/** Some bits of each of a block's numbers. */
interface Bits {
  readonly width: 1 | 2 | 4 | 8;
  /** The lowest of them, counted from the number's lowest. */
  readonly lowest?: number;
  /** Distance of the numbers that share a byte, whose lowest bits are the first number's; by default neighbors do. */
  readonly stride?: number;
  /** Added to each number first: ggml's codes may count from elsewhere. */
  readonly offset?: number;
}

/** Returns the member that has bits of a block's codes or scale codes, `count` of them. */
function bits(
  of: 'codes' | 'scales',
  count: number,
  { width, lowest = 0, stride = 1, offset = 0 }: Bits,
): Member {
  const perByte = 8 / width;
  const bytes = count / perByte;
  const mask = (1 << width) - 1;
  return {
    bytes,
    pack(matrix, block, out, at) {
      const numbers = matrix[of];
      for (let i = 0; i < bytes; i++) {
        let number = block * count + i + (i - (i % stride)) * (perByte - 1);
        let byte = 0;
        for (let shift = 0; shift < 8; shift += width, number += stride)
          byte |= (((numbers[number]! + offset) >> lowest) & mask) << shift;
        out[at + i] = byte;
      }
    },
  };
}

const codeBits = (count: 32 | 256, own: Bits) => bits('codes', count, own);
const scaleBits = (count: 8 | 16, own: Bits) => bits('scales', count, own);

/** Scale and minimum codes of Q2_K: a byte for both. */
const FOUR_BIT_PAIRS: Member = {
  bytes: 16,
  pack({ scales, minimums }, block, out, at) {
    for (let i = 0, group = block * 16; i < 16; i++, group++)
      out[at + i] = scales[group]! | (minimums[group]! << 4);
  },
};

/** Scale and minimum codes of Q4_K and Q5_K: the first four of each in a byte whose high bits are those of the last four. */
const SIX_BIT_PAIRS: Member = {
  bytes: 12,
  pack({ scales, minimums }, block, out, at) {
    for (let i = 0, first = block * 8, last = first + 4; i < 4; i++, first++, last++) {
      out[at + i] = scales[first]! | ((scales[last]! >> 4) << 6);
      out[at + 4 + i] = minimums[first]! | ((minimums[last]! >> 4) << 6);
      out[at + 8 + i] = (scales[last]! & 15) | ((minimums[last]! & 15) << 4);
    }
  },
};

const float16 = (value: (matrix: GridCodes, block: number) => number): Member => ({
  bytes: 2,
  pack(matrix, block, out, at) {
    const half = toFloat16(value(matrix, block));
    out[at] = half & 255;
    out[at + 1] = half >> 8;
  },
});

const SCALE_UNIT = float16(({ scaleUnits }, block) => scaleUnits[block]!);
const MINIMUM_UNIT = float16(({ minimumUnits }, block) => minimumUnits[block]!);
const SCALE = float16(({ scaleUnits, scales }, block) => scaleUnits[block]! * scales[block]!);
/** ggml adds what it calls minimum. */
const MINIMUM = float16(({ minimumUnits, minimums }, block) => -minimumUnits[block]! * minimums[block]!);

const NIBBLES = codeBits(32, { width: 4, stride: 16 });
const FIFTH_BITS = codeBits(32, { width: 1, lowest: 4 });
const LOW_PAIRS = codeBits(256, { width: 2, stride: 32 });
const LOW_NIBBLES = codeBits(256, { width: 4, stride: 32 });

const FOUR_BITS = { low: 0, high: 15 };
const SIX_BITS = { low: 0, high: 63 };
const SIGNED_SIX_BITS = { low: -32, high: 31 };
const SIGNED_BYTE = { low: -128, high: 127 };

/** Returns a type of these members, in the order of the struct. */
function grid(format: GridFormat, members: readonly Member[]): GgmlGrid {
  const bytes = sumOf(members, (member) => member.bytes);
  const pack = (matrix: GridCodes) => {
    const out = new Uint8Array((matrix.codes.length / format.block) * bytes);
    for (let at = 0, block = 0; at < out.length; block++)
      for (const member of members) {
        member.pack(matrix, block, out, at);
        at += member.bytes;
      }
    return out;
  };
  return { format, pack };
}

/** Returns a type whose blocks are single groups. */
function single(
  name: string,
  levels: readonly number[],
  minimums: 'float16' | undefined,
  members: readonly Member[],
): GgmlGrid {
  return grid({ name, group: 32, block: 32, levels, scales: 'float16', minimums }, members);
}

/** Returns a type whose blocks are many groups, with codes for their scales: of ggml's super-blocks. */
function superBlocks(
  name: string,
  group: 16 | 32,
  levels: readonly number[],
  scales: Range,
  minimums: Range | undefined,
  members: readonly Member[],
): GgmlGrid {
  return grid({ name, group, block: 256, levels, scales, minimums }, members);
}

const GRIDS = [
  single('Q4_0', wholeNumbers(-8, 7), undefined, [SCALE, NIBBLES]),
  single('Q4_1', wholeNumbers(0, 15), 'float16', [SCALE, MINIMUM, NIBBLES]),
  single('Q5_0', wholeNumbers(-16, 15), undefined, [SCALE, FIFTH_BITS, NIBBLES]),
  single('Q5_1', wholeNumbers(0, 31), 'float16', [SCALE, MINIMUM, FIFTH_BITS, NIBBLES]),
  single('Q8_0', wholeNumbers(-128, 127), undefined, [SCALE, codeBits(32, { width: 8, offset: -128 })]),
  single('IQ4_NL', NONLINEAR, undefined, [SCALE, NIBBLES]),
  superBlocks('Q2_K', 16, wholeNumbers(0, 3), FOUR_BITS, FOUR_BITS, [
    FOUR_BIT_PAIRS,
    LOW_PAIRS,
    SCALE_UNIT,
    MINIMUM_UNIT,
  ]),
  superBlocks('Q3_K', 16, wholeNumbers(-4, 3), SIGNED_SIX_BITS, undefined, [
    codeBits(256, { width: 1, lowest: 2, stride: 32 }),
    LOW_PAIRS,
    scaleBits(16, { width: 4, stride: 8, offset: 32 }),
    scaleBits(16, { width: 2, lowest: 4, stride: 4, offset: 32 }),
    SCALE_UNIT,
  ]),
  superBlocks('Q4_K', 32, wholeNumbers(0, 15), SIX_BITS, SIX_BITS, [
    SCALE_UNIT,
    MINIMUM_UNIT,
    SIX_BIT_PAIRS,
    LOW_NIBBLES,
  ]),
  superBlocks('Q5_K', 32, wholeNumbers(0, 31), SIX_BITS, SIX_BITS, [
    SCALE_UNIT,
    MINIMUM_UNIT,
    SIX_BIT_PAIRS,
    codeBits(256, { width: 1, lowest: 4, stride: 32 }),
    LOW_NIBBLES,
  ]),
  superBlocks('Q6_K', 16, wholeNumbers(-32, 31), SIGNED_BYTE, undefined, [
    codeBits(256, { width: 4, stride: 64 }),
    codeBits(256, { width: 2, lowest: 4, stride: 32 }),
    scaleBits(16, { width: 8 }),
    SCALE_UNIT,
  ]),
  superBlocks('IQ4_XS', 32, NONLINEAR, SIGNED_SIX_BITS, undefined, [
    SCALE_UNIT,
    scaleBits(8, { width: 2, lowest: 4, offset: 32 }),
    scaleBits(8, { width: 4, offset: 32 }),
    codeBits(256, { width: 4, stride: 16 }),
  ]),
];

/** Types by their names. */
export const GGML_GRIDS: Readonly<Record<string, GgmlGrid>> = Object.fromEntries(
  GRIDS.map((own) => [own.format.name, own]),
);
