/** A range of whole numbers, both ends included. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/**
 * How a format stores the rows of a matrix as codes on grids: a weight is level x scale - minimum, where its code says the level, and
 * neighbors in a row share scale and minimum. The quantizer knows a format by this description alone.
 */
export interface GridFormat {
  /** As its runtime names it: `Q4_K`. */
  readonly name: string;
  /** Neighbors in a row that share a scale and a minimum: 16 or 32. */
  readonly group: 16 | 32;
  /** Neighbors in a row that are stored together, whole groups. Groups of a block share the units of their scales. */
  readonly block: number;
  /** The level of each code, ascending. */
  readonly levels: readonly number[];
  /** Scale codes, in units of the block; or each scale is a float16 of its own, in units of {@link ownUnit}. */
  readonly scales: Range | 'float16';
  /**
   * Minimum codes, in units of the block; or each minimum is a float16 of its own; or a code, in steps of the group's scale. Undefined:
   * minimums are 0.
   */
  readonly minimums: Range | 'float16' | { readonly zeroPoints: Range } | undefined;
}

/** A matrix as codes on grids: all that a format stores, before it is packed. */
export interface GridCodes {
  readonly rows: number;
  readonly columns: number;
  /** Indices of levels, [rows, columns]. */
  readonly codes: Uint8Array;
  /** [rows, groups]: scale = code x unit. */
  readonly scales: Int16Array;
  /** [rows, groups]: minimum = code x unit; of zero points code x scale. */
  readonly minimums: Int16Array;
  /**
   * Values of a float16, [rows, blocks]; of float16 scales [rows, groups], and then code x unit is a float16 too.
   */
  readonly scaleUnits: Float32Array;
  /** The same for minimums; empty without any, and for zero points. */
  readonly minimumUnits: Float32Array;
}

/** Packs a matrix as its runtime reads it: rows one after another. */
export type Pack = (matrix: GridCodes) => Uint8Array;

/** Returns all whole numbers of a range, ascending. */
export function wholeNumbers(low: number, high: number): number[] {
  return Array.from({ length: high - low + 1 }, (_, i) => low + i);
}

/** Bits of the significand of a float16. */
const SIGNIFICAND_BITS = 11;
const [LEAST_EXPONENT, MOST_EXPONENT] = [-24, 5];

/**
 * Returns the unit in which a float16 scale near `value`, up to twice as large, is a whole number of at most 2^11: a power of two. Such
 * products are exact.
 */
export function ownUnit(value: number): number {
  const exponent = Math.floor(Math.log2(Math.abs(value) || 2 ** -14)) - SIGNIFICAND_BITS + 2;
  return 2 ** Math.min(MOST_EXPONENT, Math.max(LEAST_EXPONENT, exponent));
}
