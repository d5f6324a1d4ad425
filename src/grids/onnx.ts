import { toFloat16 } from '../core/float16.js';
import { type GridCodes, type GridFormat, wholeNumbers } from './format.js';

/** A matrix as ONNX Runtime's MatMulNBits takes it: a weight is (code - zero point) x scale of its group. */
export interface Codes {
  /** [rows, whole groups], of 4 bits two per byte, the first in the low half. */
  readonly codes: Uint8Array;
  /** Bits of float16, [rows, groups]. */
  readonly scales: Uint16Array;
  /** Zero points of 4-bit codes, [rows, groups] packed as codes are per row; those of 8 bits are 128. */
  readonly zeros: Uint8Array | undefined;
}

/** MatMulNBits with codes of so many bits. */
export interface OnnxGrid {
  readonly format: GridFormat;
  /** The last group of a row may be short. */
  readonly pack: (matrix: GridCodes) => Codes;
}

/** Neighbors in a row that share a scale. */
export const GROUP = 32;
const GROUPS = { group: GROUP, block: GROUP, scales: 'float16' } as const;

/** Zero point of 8-bit codes. */
const MIDDLE = 128;

/** Formats by their bits. */
export const ONNX_GRIDS: Readonly<Record<4 | 8, OnnxGrid>> = {
  4: {
    format: {
      ...GROUPS,
      name: 'MatMulNBits, 4 bits',
      levels: wholeNumbers(0, 15),
      minimums: { zeroPoints: { low: 0, high: 15 } },
    },
    pack(matrix) {
      const { rows, columns } = matrix;
      const groups = Math.ceil(columns / GROUP);
      const zeros = Uint8Array.from(matrix.minimums);
      return {
        codes: pairsOf(wholeGroups(matrix, zeros), rows, groups * GROUP),
        scales: scalesOf(matrix),
        zeros: pairsOf(zeros, rows, groups),
      };
    },
  },
  8: {
    format: {
      ...GROUPS,
      name: 'MatMulNBits, 8 bits',
      levels: wholeNumbers(-MIDDLE, MIDDLE - 1),
      minimums: undefined,
    },
    pack: (matrix) => ({
      codes: wholeGroups(matrix, new Uint8Array(matrix.scales.length).fill(MIDDLE)),
      scales: scalesOf(matrix),
      zeros: undefined,
    }),
  },
};

function scalesOf({ scales, scaleUnits }: GridCodes): Uint16Array {
  return Uint16Array.from(scaleUnits, (unit, group) => toFloat16(unit * scales[group]!));
}

/** Returns codes of whole groups: those behind the last column are its group's zero point. */
function wholeGroups({ rows, columns, codes }: GridCodes, zeros: Uint8Array): Uint8Array {
  const groups = Math.ceil(columns / GROUP);
  const width = groups * GROUP;
  const padded = new Uint8Array(rows * width);
  for (let row = 0; row < rows; row++) {
    padded.set(codes.subarray(row * columns, (row + 1) * columns), row * width);
    padded.fill(zeros[(row + 1) * groups - 1]!, row * width + columns, (row + 1) * width);
  }
  return padded;
}

/** Packs rows of 4-bit numbers, two per byte; a row of an odd number ends with half a byte. */
function pairsOf(numbers: Uint8Array, rows: number, columns: number): Uint8Array {
  const width = Math.ceil(columns / 2);
  const packed = new Uint8Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      packed[row * width + (column >> 1)]! |= numbers[row * columns + column]! << ((column & 1) * 4);
  return packed;
}
