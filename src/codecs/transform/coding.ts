import { fromFloat16, toFloat16 } from '../../core/float16.js';
import { sumOf } from '../../core/sum.js';
import type { LosslessKernels } from '../../wasm/lossless.js';
import { decodeStream, encodeStream } from './streams.js';

/** How coefficients are reduced: by keeping only the largest, or by rounding all to multiples of a step. */
export type Coding = { readonly keep: number } | { readonly step: number };

/** Parameters that a decoder needs in addition to the streams. */
export interface CodingHeader {
  readonly mode: 'keep' | 'quantize';
  /** The unit of the values, or the quantization step. */
  readonly scale: number;
  /** For quantized numbers: offset of level 1, and of higher levels, from the middle of their intervals, in steps. */
  readonly shifts: readonly [one: number, more: number];
}

/** Rounding threshold in steps; slightly above one half, which pays when most numbers are zero. */
const THRESHOLD = 0.6;
const MAX_LEVEL = 32767;

/** Encodes numbers. @throws {RangeError} when levels do not fit in 16 bits because the step is too small. */
export function encodeNumbers(kernels: LosslessKernels, numbers: Float64Array, coding: Coding) {
  return 'keep' in coding ? keep(kernels, numbers, coding.keep) : quantize(kernels, numbers, coding.step);
}

/** Decodes numbers, the inverse of {@link encodeNumbers}. @throws {RangeError} when the streams are malformed. */
export function decodeNumbers(
  kernels: LosslessKernels,
  coded: Uint8Array,
  start: number,
  count: number,
  header: CodingHeader,
): Float64Array {
  const { numbers, end } = DECODE[header.mode](kernels, coded, start, count, header);
  if (end !== coded.length) throw new RangeError(`${coded.length - end} bytes follow the last stream`);
  return numbers;
}

/** Encodes the largest numbers: entropy-coded flags, one symbol per number, and float16 values in units of the largest. */
function keep(kernels: LosslessKernels, numbers: Float64Array, count: number) {
  const order = Uint32Array.from(numbers, (_, i) => i).sort(
    (a, b) => Math.abs(numbers[b]!) - Math.abs(numbers[a]!) || a - b,
  );
  const largest = order.subarray(0, Math.min(count, numbers.length)).slice().sort();
  const flags = new Uint8Array(numbers.length);
  for (const i of largest) flags[i] = 1;
  const scale = Math.fround(Math.abs(numbers[order[0]!]!)) || 1;
  const values = Uint16Array.from(largest, (i) => toFloat16(numbers[i]! / scale));
  const parts = [...encodeStream(kernels, flags, 'U8'), ...encodeStream(kernels, bytesOf(values), 'F16')];
  return { header: { mode: 'keep', scale, shifts: [0, 0] } satisfies CodingHeader as CodingHeader, parts };
}

function quantize(kernels: LosslessKernels, numbers: Float64Array, given: number) {
  const step = Math.fround(given);
  const levels = new Int16Array(numbers.length);
  const [sum, count] = [new Float64Array(2), new Float64Array(2)];
  for (let i = 0; i < numbers.length; i++) {
    const magnitude = Math.abs(numbers[i]!) / step;
    const level = Math.floor(magnitude + 1 - THRESHOLD);
    if (level > MAX_LEVEL) throw new RangeError(`step ${step} gives levels above ${MAX_LEVEL}`);
    levels[i] = numbers[i]! < 0 ? -level : level;
    if (level === 0) continue;
    const kind = level === 1 ? 0 : 1;
    sum[kind]! += magnitude - level;
    count[kind]!++;
  }
  const mean = (kind: number) => Math.fround(count[kind] ? sum[kind]! / count[kind]! : 0);
  const header: CodingHeader = { mode: 'quantize', scale: step, shifts: [mean(0), mean(1)] };
  return { header, parts: encodeStream(kernels, bytesOf(levels), 'I16') };
}

type Decode = (
  kernels: LosslessKernels,
  coded: Uint8Array,
  start: number,
  count: number,
  header: CodingHeader,
) => { readonly numbers: Float64Array; readonly end: number };

const DECODE: Readonly<Record<CodingHeader['mode'], Decode>> = {
  keep(kernels, coded, start, count, { scale }) {
    const flags = decodeStream(kernels, coded, start, 'U8', count);
    const valueCount = sumOf(flags.elements, (flag) => (flag ? 1 : 0));
    const { elements, end } = decodeStream(kernels, coded, flags.end, 'F16', 2 * valueCount);
    const values = new Uint16Array(elements.buffer);
    const numbers = new Float64Array(count);
    let next = 0;
    for (let i = 0; i < count; i++) if (flags.elements[i]) numbers[i] = fromFloat16(values[next++]!) * scale;
    return { numbers, end };
  },
  quantize(kernels, coded, start, count, { scale, shifts }) {
    const { elements, end } = decodeStream(kernels, coded, start, 'I16', 2 * count);
    const levels = new Int16Array(elements.buffer);
    const numbers = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const level = levels[i]!;
      if (level === 0) continue;
      const magnitude = Math.abs(level);
      numbers[i] = Math.sign(level) * (magnitude + shifts[magnitude === 1 ? 0 : 1]) * scale;
    }
    return { numbers, end };
  },
};

function bytesOf({ buffer, byteOffset, byteLength }: Int16Array | Uint16Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
