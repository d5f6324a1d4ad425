import { BLOCK_BYTES, encodeBlock } from '../../codecs/lossless/block.js';
import type { ByteSource } from '../../core/byte-source.js';
import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { sumOf } from '../../core/sum.js';
import { losslessKernels } from '../../wasm/lossless.js';

/** Element types to try for unknown bytes, the more likely first. */
const CANDIDATES: readonly Dtype[] = ['U8', 'F32', 'BF16', 'F16'];
const SAMPLES = 4;
const SAMPLE_BYTES = 2 ** 16;
/** Minimum share of bytes that a type other than U8 must save, because samples do not show everything. */
const MIN_GAIN = 0.02;

export interface Guess {
  readonly dtype: Dtype;
  /** Bytes of an element. */
  readonly width: number;
  /** Bytes before the first element. */
  readonly phase: number;
}

/** A guess, its samples, and their encoded bytes. */
export interface Measured extends Guess {
  readonly samples: readonly Uint8Array[];
  readonly codedBytes: number;
}

/** Finds, on samples, the element type and alignment with which bytes `start` to `end` (exclusive) of a file compress best. */
export async function measureElements(source: ByteSource, start: number, end: number): Promise<Measured> {
  const samples = await readSamples(source, start, end);
  let best: Guess = { dtype: 'U8', width: 1, phase: 0 };
  let fewest = Number.POSITIVE_INFINITY;
  for (const dtype of CANDIDATES) {
    const width = DTYPE_BYTES[dtype];
    for (let phase = 0; phase < width; phase++) {
      const bytes = sumOf(samples, (sample) => codedBytes(sample, dtype, phase));
      if (bytes >= fewest * (dtype === 'U8' ? 1 : 1 - MIN_GAIN)) continue;
      fewest = bytes;
      best = { dtype, width, phase };
    }
  }
  return { ...best, samples, codedBytes: fewest };
}

/** Reads samples spread over the range; each starts at a multiple of 8 bytes from the range's start. */
async function readSamples(source: ByteSource, start: number, end: number): Promise<Uint8Array[]> {
  const length = Math.min(SAMPLE_BYTES, end - start, BLOCK_BYTES);
  const last = end - start - length;
  const places = Array.from({ length: SAMPLES }, (_, i) => Math.floor((last * i) / (SAMPLES - 1) / 8) * 8);
  const samples: Uint8Array[] = [];
  for (const place of new Set(places)) samples.push(await source.read(start + place, start + place + length));
  return samples;
}

function codedBytes(sample: Uint8Array, dtype: Dtype, phase: number): number {
  const count = Math.floor((sample.length - phase) / DTYPE_BYTES[dtype]);
  const elements = sample.subarray(phase, phase + count * DTYPE_BYTES[dtype]);
  if (count < 1) return sample.length;
  return encodeBlock(losslessKernels(), elements, { dtype, count, first: 0, rows: 1, columns: count }).length;
}
