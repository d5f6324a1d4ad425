import { indices } from './compiled/indices.js';
import {
  ENCODER_ENTRY_BYTES,
  ROWS_PER_BLOCK,
  STATES_BYTES,
  TABLES,
  TOKEN_SCALE_BITS,
  TOKENS,
} from './constants.js';
import { type BufferSizes, type Buffers, type KernelExports, layOutBuffers, loadKernels } from './loader.js';

/** What assembly/indices.ts exports. Positions and ends are addresses. */
export interface IndexExports extends KernelExports {
  buildDecoder(): void;
  startDecoding(stream: number, raw: number): void;
  streamPosition(): number;
  rawPosition(): number;
  moveInput(stream: number, raw: number): void;
  // biome-ignore format: the order of the arguments, on one line
  decodeRows(first: number, rows: number, columns: number, shrunk: boolean, kind: number, streamEnd: number, rawEnd: number): number;
  endedAt(end: number, rawEnd: number): number;
  buildEncoder(): void;
  startRaw(raw: number, bits: number): void;
  rawLengthBits(): number;
  tokenize(first: number, rows: number, columns: number): number;
  startEncoding(): void;
  encodeRows(rows: number, columns: number, end: number): number;
  finishEncoding(): number;
}

/** Weights handled by one call: their values stay in the processor's cache. */
export const CALL_WEIGHTS = 1 << 18;

/** Maximum bytes per weight of either input: a token takes at most one word of the stream and 13 raw bits. */
export const MAX_BYTES = 2;

/** Room behind every buffer for whole vectors. */
const SLACK_BYTES = 64;

/** Returns the buffers for matrices of `columns` columns. */
function sizesFor(columns: number) {
  const weights = Math.max(CALL_WEIGHTS, columns);
  const codedBytes = (weights + columns) * MAX_BYTES; // a damaged stream may be read up to one row past its end
  return {
    slots: [Uint32Array, TABLES << TOKEN_SCALE_BITS],
    encoder: [Uint8Array, TABLES * TOKENS * ENCODER_ENTRY_BYTES],
    frequencies: [Uint16Array, TABLES * TOKENS],
    shrinks: [Float32Array, TABLES * 4],
    rowContexts: [Int16Array, ROWS_PER_BLOCK],
    rowSteps: [Float32Array, ROWS_PER_BLOCK],
    columnContexts: [Int16Array, columns],
    columnSteps: [Float32Array, columns],
    states: [Uint8Array, columns],
    rowTables: [Uint8Array, columns],
    rowIndices: [Int16Array, columns],
    elements: [Uint8Array, weights * 4],
    tables: [Uint8Array, weights],
    tokens: [Uint8Array, weights],
    stream: [Uint8Array, codedBytes + STATES_BYTES],
    raw: [Uint8Array, codedBytes],
  } as const satisfies BufferSizes;
}

/** The kernels and their memory, laid out for matrices of up to `capacity` columns. */
export class IndexMemory {
  readonly call = loadKernels<IndexExports>(indices);
  /** Views, valid until `reserve`. */
  buffers!: Buffers<ReturnType<typeof sizesFor>>;
  private capacity = 0;

  constructor(columns: number) {
    this.reserve(columns);
  }

  /** Grows the memory if needed. Buffers of tables do not move. */
  reserve(columns: number): void {
    if (columns <= this.capacity) return;
    this.buffers = layOutBuffers(this.call, sizesFor(columns), SLACK_BYTES);
    this.capacity = columns;
  }
}

/** A window onto a stream, in a buffer of the kernels' memory. It moves forward as the stream is consumed. Positions are addresses. */
export class InputWindow {
  /** End of the loaded bytes. */
  end: number;
  private loaded: number;

  constructor(
    private readonly buffer: Uint8Array,
    private readonly source: Uint8Array,
  ) {
    this.loaded = Math.min(buffer.length, source.length);
    buffer.set(source.subarray(0, this.loaded));
    this.end = buffer.byteOffset + this.loaded;
  }

  /** Loads `need` bytes from `position` on, or all that are left. @returns their new address. */
  supply(position: number, need: number): number {
    if (this.end - position >= need || this.loaded === this.source.length) return position;
    const { buffer } = this;
    const start = buffer.byteOffset;
    const unread = this.end - position;
    buffer.copyWithin(0, position - start, this.end - start);
    const next = this.source.subarray(this.loaded, this.loaded + buffer.length - unread);
    buffer.set(next, unread);
    this.loaded += next.length;
    this.end = start + unread + next.length;
    return start;
  }
}
