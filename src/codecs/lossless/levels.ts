import { fromFloat16 } from '../../core/float16.js';

// What the scales of ggml's blocks say about the codes of their groups: where zero lies between the lowest and the highest code, or how
// large the scale is. spec/wpk-v1.md, "Levels".

/** Levels are 0 to 32. */
const MAX_LEVEL = 32;

/** Levels of a kind of blocks. */
export interface Levels {
  /** Groups per block. */
  readonly groups: number;
  /** Bytes from the block's first on that are read. */
  readonly minBytes: number;
  /** Writes the levels of the block at byte `at` of `view`, whose codes have so many bits, to `out` from `index` on. */
  of(view: DataView, at: number, bits: number, out: Uint8Array, index: number): void;
}

const float16 = (view: DataView, at: number) => fromFloat16(view.getUint16(at, true));

/** Returns the level of a zero at `minimum / scale` steps from the lowest code. */
function levelOfZero(minimum: number, scale: number, bits: number): number {
  const level = Math.floor(((minimum / scale) * MAX_LEVEL) / 2 ** bits);
  return level >= 0 ? Math.min(MAX_LEVEL, level) : 0; // also of what is no number
}

/** Returns the level of a signed scale: half octaves of its magnitude, and its sign. */
function levelOfScale(scale: number): number {
  const magnitude = Math.abs(scale);
  if (!magnitude) return 0;
  const octave = 31 - Math.clz32(magnitude);
  const half = magnitude * magnitude >= 2 ** (2 * octave + 1) ? 1 : 0;
  return 1 + 2 * octave + half + (scale < 0 ? MAX_LEVEL / 2 : 0);
}

/** Q4_K and Q5_K: two float16, then eight pairs of scale and minimum, six bits each. */
const sixBitPairs: Levels = {
  groups: 8,
  minBytes: 16,
  of(view, at, bits, out, index) {
    const [scale, minimum] = [float16(view, at), float16(view, at + 2)];
    for (let i = 0; i < 8; i++) {
      const j = at + 4 + (i & 3);
      const [a, b, c] = [view.getUint8(j), view.getUint8(j + 4), view.getUint8(j + 8)];
      const [s, m] = i < 4 ? [a & 63, b & 63] : [(c & 15) | ((a >> 6) << 4), (c >> 4) | ((b >> 6) << 4)];
      out[index + i] = levelOfZero(minimum * m, scale * s, bits);
    }
  },
};

/** Q2_K: sixteen bytes of a scale and a minimum each; two float16 after the codes. */
const fourBitPairs: Levels = {
  groups: 16,
  minBytes: 84,
  of(view, at, bits, out, index) {
    const [scale, minimum] = [float16(view, at + 80), float16(view, at + 82)];
    for (let i = 0; i < 16; i++) {
      const pair = view.getUint8(at + i);
      out[index + i] = levelOfZero(minimum * (pair >> 4), scale * (pair & 15), bits);
    }
  },
};

/** Q4_1 and Q5_1: a float16 scale, and one that is added. */
const ownPair: Levels = {
  groups: 1,
  minBytes: 4,
  of(view, at, bits, out, index) {
    out[index] = levelOfZero(-float16(view, at + 2), float16(view, at), bits);
  },
};

/** Q6_K: sixteen signed bytes at the end. */
const signedBytes: Levels = {
  groups: 16,
  minBytes: 208,
  of(view, at, _, out, index) {
    for (let i = 0; i < 16; i++) out[index + i] = levelOfScale(view.getInt8(at + 192 + i));
  },
};

/** Q3_K: sixteen scales of six bits, less 32. */
const sixBits: Levels = {
  groups: 16,
  minBytes: 108,
  of(view, at, _, out, index) {
    for (let i = 0; i < 16; i++) {
      const low = (view.getUint8(at + 96 + (i & 7)) >> (i < 8 ? 0 : 4)) & 15;
      const high = (view.getUint8(at + 104 + (i & 3)) >> (2 * (i >> 2))) & 3;
      out[index + i] = levelOfScale((low | (high << 4)) - 32);
    }
  },
};

/** Levels by their number in a payload, less one. */
export const LEVELS: readonly Levels[] = [sixBitPairs, fourBitPairs, ownPair, signedBytes, sixBits];
