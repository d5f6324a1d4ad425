import { ROWS_PER_BLOCK } from '../codecs/trellis/levels.js';
import { SCALE, TABLES, TOKENS } from '../codecs/trellis/tokens.js';
import { indices } from './compiled.js';

/** What src/wasm/assembly/indices.ts exports. Pointers are byte offsets. */
export interface IndexExports {
  readonly memory: WebAssembly.Memory;
  heapBase(): number;
  buildDecoder(frequencies: number, slots: number): void;
  buildEncoder(frequencies: number, encoder: number): void;
  startDecoding(stream: number, raw: number): void;
  streamPosition(): number;
  rawPosition(): number;
  moveInput(stream: number, raw: number): void;
  endedAt(end: number, rawEnd: number): number;
  // biome-ignore format: the order of the arguments, on one line
  decodeRows(rows: number, columns: number, rowContexts: number, rowSteps: number, columnContexts: number, columnSteps: number, states: number, tables: number, indices: number, slots: number, shrinks: number, kind: number, out: number, streamEnd: number, rawEnd: number): number;
  startRaw(raw: number, bits: number): void;
  rawLengthBits(): number;
  // biome-ignore format: as above
  tokenize(rows: number, columns: number, rowContexts: number, columnContexts: number, states: number, encoder: number, indices: number, tables: number, tokens: number): number;
  startEncoding(): void;
  // biome-ignore format: as above
  encodeRows(rows: number, columns: number, tables: number, tokens: number, encoder: number, end: number): number;
  finishEncoding(start: number): number;
}

/** Weights handled by one call: their values stay in the processor's cache. */
export const CALL_WEIGHTS = 1 << 18;

/** Room for whole vectors past an end. */
const SLACK_BYTES = 64;

/** The four states at the head of a stream. */
export const STATES_BYTES = 16;

/** A token takes at most a word of the stream, and 13 raw bits. */
export const MAX_BYTES = 2;

/** Bytes of every buffer, for matrices of so many columns. */
function sizes(columns: number) {
  const weights = Math.max(CALL_WEIGHTS, columns);
  return {
    slots: TABLES * SCALE * 4,
    encoder: TABLES * TOKENS * 16,
    frequencies: TABLES * TOKENS * 2,
    shrinks: TABLES * 4 * 4,
    rowContexts: ROWS_PER_BLOCK * 2,
    rowSteps: ROWS_PER_BLOCK * 4,
    columnContexts: columns * 2,
    columnSteps: columns * 4,
    states: columns,
    rowTables: columns,
    rowIndices: columns * 2,
    elements: weights * 4,
    tables: weights,
    tokens: weights,
    // a damaged stream is read up to a row past its end
    stream: (weights + columns) * MAX_BYTES + STATES_BYTES,
    streamEnd: 0, // encoded streams grow downwards from here
    raw: (weights + columns) * MAX_BYTES,
  };
}

/** Where each buffer begins: byte offsets, 16-byte aligned. */
export type IndexLayout = Record<keyof ReturnType<typeof sizes>, number>;

let compiled: WebAssembly.Module | undefined;

/** The kernels and their memory, laid out for matrices of up to `capacity` columns. Views of it end when it grows. */
export class IndexMemory {
  readonly call: IndexExports;
  bytes!: Uint8Array;
  at!: IndexLayout;
  private capacity = 0;

  constructor(columns: number) {
    compiled ??= new WebAssembly.Module(
      Uint8Array.from(atob(indices), (character) => character.charCodeAt(0)),
    );
    this.call = new WebAssembly.Instance(compiled).exports as unknown as IndexExports;
    this.reserve(columns);
  }

  /** Grows as needed. Buffers of tables stay where they are. */
  reserve(columns: number): void {
    if (columns <= this.capacity) return;
    let end = this.call.heapBase();
    const at = {} as IndexLayout;
    for (const [name, size] of Object.entries(sizes(columns)) as [keyof IndexLayout, number][]) {
      at[name] = (end + 15) & ~15;
      end = at[name] + size + SLACK_BYTES;
    }
    const missing = end - this.call.memory.buffer.byteLength;
    if (missing > 0) this.call.memory.grow(Math.ceil(missing / 65536));
    this.at = at;
    this.bytes = new Uint8Array(this.call.memory.buffer);
    this.capacity = columns;
  }

  /** Copies values into a buffer. */
  put(values: Int16Array | Uint16Array | Float32Array, offset: number): void {
    const { buffer, byteOffset, byteLength } = values;
    this.bytes.set(new Uint8Array(buffer, byteOffset, byteLength), offset);
  }
}

/** Bytes of a stream in the kernels' memory, moved along as they are consumed. */
export class Window {
  end: number;
  private loaded: number;
  constructor(
    private readonly memory: Uint8Array,
    private readonly start: number,
    private readonly capacity: number,
    private readonly source: Uint8Array,
  ) {
    this.loaded = Math.min(capacity, source.length);
    memory.set(source.subarray(0, this.loaded), start);
    this.end = start + this.loaded;
  }

  /** Sees to it that `need` bytes lie from `position` on, or all that are left. @returns where they lie now. */
  supply(position: number, need: number): number {
    if (this.end - position >= need || this.loaded === this.source.length) return position;
    this.memory.copyWithin(this.start, position, this.end);
    const kept = this.end - position;
    const next = this.source.subarray(this.loaded, this.loaded + this.capacity - kept);
    this.memory.set(next, this.start + kept);
    this.loaded += next.length;
    this.end = this.start + kept + next.length;
    return this.start;
  }
}
