import { fromFloat16 } from '../../core/float16.js';
import { NONLINEAR } from '../../grids/ggml.js';

/** Decodes the block at byte `at` of `bytes` to the elements of `out` from index `to`. Arithmetic is in float32, as in ggml's reference. */
type Decode = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

const half = (bytes: Uint8Array, at: number) => fromFloat16(bytes[at]! | (bytes[at + 1]! << 8));
const { fround } = Math;
/** Returns a x - b, with the product rounded to float32. */
const affine = (a: number, x: number, b: number) => fround(a * x) - b;

/** Elements of MXFP4, doubled. */
const E2M1 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** Visits the 32 nibbles of a block: the low halves of its bytes are elements 0-15, the high halves 16-31. */
function nibbles(bytes: Uint8Array, at: number, each: (element: number, nibble: number) => void): void {
  for (let i = 0; i < 16; i++) {
    each(i, bytes[at + i]! & 15);
    each(i + 16, bytes[at + i]! >> 4);
  }
}

/** Returns a six-bit scale and minimum of Q4_K or Q5_K: eight of each are packed in twelve bytes. */
function scaleAndMin(bytes: Uint8Array, at: number, index: number): [scale: number, min: number] {
  if (index < 4) return [bytes[at + index]! & 63, bytes[at + index + 4]! & 63];
  const shared = bytes[at + index + 4]!;
  return [
    (shared & 15) | ((bytes[at + index - 4]! >> 6) << 4),
    (shared >> 4) | ((bytes[at + index]! >> 6) << 4),
  ];
}

/** Decodes a block of Q4_K or Q5_K: eight groups of 32, two groups per 32 bytes of nibbles. `high` returns the fifth bit. */
function superBlock(
  bytes: Uint8Array,
  at: number,
  nibblesAt: number,
  high: (group: number, i: number) => number,
  out: Float32Array,
  to: number,
): void {
  const [d, dMin] = [half(bytes, at), half(bytes, at + 2)];
  for (let group = 0; group < 8; group++) {
    const [scale, min] = scaleAndMin(bytes, at + 4, group);
    const [step, offset] = [fround(d * scale), fround(dMin * min)];
    for (let i = 0; i < 32; i++) {
      const byte = bytes[nibblesAt + (group >> 1) * 32 + i]!;
      out[to + group * 32 + i] = affine(
        step,
        (group & 1 ? byte >> 4 : byte & 15) | (high(group, i) << 4),
        offset,
      );
    }
  }
}

/** Decoders by type name. The layouts are those of ggml-common.h. */
export const DEQUANTIZE: Readonly<Record<string, Decode>> = {
  MXFP4(bytes, at, out, to) {
    const d = 2 ** (bytes[at]! - 128);
    nibbles(bytes, at + 1, (i, q) => {
      out[to + i] = E2M1[q]! * d;
    });
  },
  Q4_0(bytes, at, out, to) {
    const d = half(bytes, at);
    nibbles(bytes, at + 2, (i, q) => {
      out[to + i] = (q - 8) * d;
    });
  },
  Q4_1(bytes, at, out, to) {
    const [d, min] = [half(bytes, at), half(bytes, at + 2)];
    nibbles(bytes, at + 4, (i, q) => {
      out[to + i] = affine(d, q, -min);
    });
  },
  Q5_0(bytes, at, out, to) {
    const d = half(bytes, at);
    nibbles(bytes, at + 6, (i, q) => {
      out[to + i] = ((q | (fifthBit(bytes, at + 2, i) << 4)) - 16) * d;
    });
  },
  Q5_1(bytes, at, out, to) {
    const [d, min] = [half(bytes, at), half(bytes, at + 2)];
    nibbles(bytes, at + 8, (i, q) => {
      out[to + i] = affine(d, q | (fifthBit(bytes, at + 4, i) << 4), -min);
    });
  },
  Q8_0(bytes, at, out, to) {
    const d = half(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = signed(bytes[at + 2 + i]!) * d;
  },
  Q2_K(bytes, at, out, to) {
    const [d, dMin] = [half(bytes, at + 80), half(bytes, at + 82)];
    for (let i = 0; i < 256; i++) {
      const [part, rest] = [i >> 7, i & 127];
      const scale = bytes[at + (i >> 4)]!;
      const q = (bytes[at + 16 + part * 32 + (rest & 31)]! >> (2 * (rest >> 5))) & 3;
      out[to + i] = affine(fround(d * (scale & 15)), q, fround(dMin * (scale >> 4)));
    }
  },
  Q3_K(bytes, at, out, to) {
    const d = half(bytes, at + 108);
    for (let i = 0; i < 256; i++) {
      const [part, rest] = [i >> 7, i & 127];
      const low = (bytes[at + 32 + part * 32 + (rest & 31)]! >> (2 * (rest >> 5))) & 3;
      const high = (bytes[at + (rest & 31)]! >> (part * 4 + (rest >> 5))) & 1;
      out[to + i] = fround(d * (sixBitScale(bytes, at + 96, i >> 4) - 32)) * (low - (high ? 0 : 4));
    }
  },
  Q4_K(bytes, at, out, to) {
    superBlock(bytes, at, at + 16, () => 0, out, to);
  },
  Q5_K(bytes, at, out, to) {
    superBlock(bytes, at, at + 48, (group, i) => (bytes[at + 16 + i]! >> group) & 1, out, to);
  },
  Q6_K(bytes, at, out, to) {
    const d = half(bytes, at + 208);
    for (let i = 0; i < 256; i++) {
      const [part, quarter, place] = [i >> 7, (i >> 5) & 3, i & 31];
      const lowByte = bytes[at + part * 64 + (quarter & 1) * 32 + place]!;
      const low = quarter & 2 ? lowByte >> 4 : lowByte & 15;
      const high = (bytes[at + 128 + part * 32 + place]! >> (2 * quarter)) & 3;
      const scale = signed(bytes[at + 192 + (i >> 4)]!);
      out[to + i] = fround(d * scale) * ((low | (high << 4)) - 32);
    }
  },
  IQ4_NL(bytes, at, out, to) {
    const d = half(bytes, at);
    nibbles(bytes, at + 2, (i, q) => {
      out[to + i] = d * NONLINEAR[q]!;
    });
  },
  IQ4_XS(bytes, at, out, to) {
    const d = half(bytes, at);
    const highs = bytes[at + 2]! | (bytes[at + 3]! << 8);
    for (let group = 0; group < 8; group++) {
      const low = (bytes[at + 4 + (group >> 1)]! >> (4 * (group & 1))) & 15;
      const step = fround(d * ((low | (((highs >> (2 * group)) & 3) << 4)) - 32));
      nibbles(bytes, at + 8 + group * 16, (i, q) => {
        out[to + group * 32 + i] = step * NONLINEAR[q]!;
      });
    }
  },
};

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/** Returns an element's bit from four bytes with one bit per element. */
function fifthBit(bytes: Uint8Array, at: number, element: number): number {
  return (bytes[at + (element >> 3)]! >> (element & 7)) & 1;
}

/** Returns a scale of Q3_K: sixteen are packed in twelve bytes, their four low bits in the first eight, two high bits in the last four. */
function sixBitScale(bytes: Uint8Array, at: number, index: number): number {
  const low = (bytes[at + (index & 7)]! >> (index < 8 ? 0 : 4)) & 15;
  const high = (bytes[at + 8 + (index & 3)]! >> (2 * (index >> 2))) & 3;
  return low | (high << 4);
}
