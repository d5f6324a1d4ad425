import { lossless } from './compiled.js';

/** A block holds at most this many bytes of elements: 2^20. */
export const BLOCK_BYTES = 1 << 20;

/** Symbols a table may hold, and their largest value plus one. */
export const MAX_SYMBOLS = 1 << 13;

/** Symbols decoded between two looks at whether the stream is still within its bounds. */
export const DECODE_CHUNK = 1 << 13;

interface Exports {
  readonly memory: WebAssembly.Memory;
  heapBase(): number;
  buildEncoder(frequencies: number, symbols: number, table: number): void;
  encode(symbols: number, count: number, table: number, end: number): number;
  buildDecoder(frequencies: number, values: number, symbols: number, slots: number, entries: number): void;
  startDecoding(stream: number): void;
  decode(count: number, slots: number, entries: number, out: number, end: number): number;
  endedAt(end: number): number;
  countHeads(elements: number, count: number, width: number, shift: number, bins: number): bigint;
  splitPlane(
    elements: number,
    count: number,
    width: number,
    plane: number,
    symbols: number,
    bins: number,
  ): void;
  mergePlane(symbols: number, count: number, width: number, plane: number, elements: number): void;
  // biome-ignore format: the order of the arguments, on one line
  splitFloats(elements: number, count: number, width: number, low: number, zeros: number, signed: number, tailBits: number, symbols: number, heads: number, tails: number): void;
  // biome-ignore format: as above
  mergeFloats(values: number, first: number, count: number, width: number, low: number, zeros: number, signed: number, tailBits: number, heads: number, tails: number, elements: number): void;
  checksum(bytes: number, length: number, seed: bigint): bigint;
}

/** Where each buffer lies in the kernels' memory: byte offsets, 16-byte aligned. */
export interface Layout {
  readonly elements: number;
  readonly symbols: number;
  readonly heads: number;
  readonly tails: number;
  /** Encoded streams end here and grow downwards; payloads to decode begin at `payload`. */
  readonly streamEnd: number;
  readonly payload: number;
  readonly bins: number;
  readonly frequencies: number;
  readonly values: number;
  readonly encoder: number;
  readonly slots: number;
  readonly entries: number;
}

// Sizes in bytes, with room for reads and writes of whole vectors past the end and of a damaged stream's chunk.
const SLACK = 4 * DECODE_CHUNK;
const SIZES: Readonly<Record<keyof Layout, number>> = {
  elements: BLOCK_BYTES + SLACK,
  symbols: 2 * BLOCK_BYTES + SLACK,
  heads: 2 * BLOCK_BYTES + SLACK,
  tails: BLOCK_BYTES + SLACK,
  payload: 2 * BLOCK_BYTES + SLACK, // the widest: one byte an element, coded by 14 bits each
  streamEnd: SLACK,
  bins: 65536 * 4,
  frequencies: MAX_SYMBOLS * 4,
  values: MAX_SYMBOLS * 2,
  encoder: MAX_SYMBOLS * 16,
  slots: 16384 * 2,
  entries: MAX_SYMBOLS * 8,
};

/** The lossless codec's kernels and their memory: one instance a thread, used by one block at a time. */
export interface LosslessKernels {
  readonly at: Layout;
  /** All of the memory; fixed in size, so views of it stay valid. */
  readonly bytes: Uint8Array;
  readonly call: Exports;
}

let compiled: WebAssembly.Module | undefined;

/** Instantiates the kernels. They take 11 MiB of memory. */
export function loadLosslessKernels(): LosslessKernels {
  compiled ??= new WebAssembly.Module(fromBase64(lossless));
  const call = new WebAssembly.Instance(compiled).exports as unknown as Exports;
  let end = call.heapBase();
  const at = {} as Record<keyof Layout, number>;
  for (const [name, size] of Object.entries(SIZES) as [keyof Layout, number][]) {
    end = (end + 15) & ~15;
    at[name] = end;
    end += size;
  }
  call.memory.grow(Math.ceil((end - call.memory.buffer.byteLength) / 65536));
  return { at, bytes: new Uint8Array(call.memory.buffer), call };
}

let shared: LosslessKernels | undefined;

/** The calling thread's own instance, made on first use. */
export function losslessKernels(): LosslessKernels {
  shared ??= loadLosslessKernels();
  return shared;
}

/** XXH64 of bytes of any length up to 2 MiB, by the calling thread's kernels. */
export function checksum(bytes: Uint8Array, seed = 0n): bigint {
  const { at, bytes: memory, call } = losslessKernels();
  if (bytes.length > SIZES.payload) throw new RangeError('checksum takes at most 2 MiB at a time');
  memory.set(bytes, at.payload);
  return BigInt.asUintN(64, call.checksum(at.payload, bytes.length, seed));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
