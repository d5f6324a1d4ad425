import { concatenate } from '../core/bytes.js';
import { KIND_BF16, KIND_F16, KIND_F32, KIND_I16, ROWS_PER_BLOCK, STATES_BYTES } from './constants.js';
import { CALL_WEIGHTS, IndexMemory, InputWindow, MAX_BYTES } from './index-memory.js';

/** Entropy coding tables, shared by all tensors of a file. */
export interface IndexTables {
  /** [TABLES][TOKENS], tokens from -64. A table sums to SCALE, with no entry above SCALE - 1; an unused table is all zero. */
  readonly frequencies: Uint16Array;
  /** [CONTEXTS][2][4]: the distance of a value below its level, in steps, for |index| = 0 (always 0), 1, 2, and 3 or more. */
  readonly shrinks: Float32Array;
}

/** Contexts of a block's rows, at most ROWS_PER_BLOCK, and of all columns of the tensor. */
export interface BlockContexts {
  readonly rowContexts: Int16Array;
  readonly columnContexts: Int16Array;
}

/** Steps of rows and columns, float32; their product turns an index into a value. */
export interface BlockSteps {
  readonly rowSteps: Float32Array;
  readonly columnSteps: Float32Array;
}

/** Encoded indices: the rANS stream, and the raw bits that follow some of its tokens. */
export interface CodedIndices {
  readonly stream: Uint8Array;
  readonly raw: Uint8Array;
}

/** Element types that decoding can write: the kernel's code and the bytes per element. `I16` are the indices themselves. */
export const KINDS = {
  I16: [KIND_I16, 2],
  F32: [KIND_F32, 4],
  F16: [KIND_F16, 2],
  BF16: [KIND_BF16, 2],
} as const;
export type ElementKind = keyof typeof KINDS;

/** Columns that memory is reserved for at first; most matrices have no more. */
const USUAL_COLUMNS = 1 << 13;

/** Rows that one call handles. */
interface Group {
  readonly first: number;
  readonly rows: number;
  /** State of each column before the first row; only set by encoding. */
  states?: Uint8Array;
}

/**
 * Encodes and decodes blocks of indices. One instance per thread, used for one block at a time. Its memory is 5 MiB, or more
 * for very wide matrices (24 bytes per column).
 */
export class IndexCoder {
  private readonly memory = new IndexMemory(USUAL_COLUMNS);
  private decoding: IndexTables | undefined;
  private encoding: IndexTables | undefined;

  /**
   * Encodes `indices` [rows, columns], row-major, each from -1000 to 1000.
   * @throws {RangeError} for an index out of range, and a context without a table.
   */
  encode(tables: IndexTables, contexts: BlockContexts, indices: Int16Array): CodedIndices {
    const groups = this.prepare(contexts, indices.length);
    if (this.encoding !== tables) {
      this.memory.buffers.frequencies.set(tables.frequencies);
      this.memory.call.buildEncoder();
      this.encoding = tables;
    }
    const columns = contexts.columnContexts.length;
    const raw = this.tokenizeAll(groups, columns, indices);
    return { stream: this.encodeBackwards(groups, columns, indices), raw };
  }

  /**
   * Decodes a block to little-endian elements of `kind`, row-major, into `out`, which has exactly their length.
   * @returns false when the bytes are malformed; the content of `out` is then undefined.
   */
  decode(
    tables: IndexTables,
    contexts: BlockContexts,
    steps: BlockSteps,
    { stream, raw }: CodedIndices,
    kind: ElementKind,
    out: Uint8Array,
  ): boolean {
    const [code, width] = KINDS[kind];
    const groups = this.prepare(contexts, out.length / width);
    if (stream.length < STATES_BYTES) return false;
    const { call, buffers } = this.memory;
    this.loadDecoder(tables, steps);
    const shrunk = tables.shrinks.some((shrink) => shrink !== 0);
    const columns = contexts.columnContexts.length;
    const most = Math.max(CALL_WEIGHTS, columns) * MAX_BYTES;
    const words = new InputWindow(buffers.stream.subarray(0, most + STATES_BYTES), stream);
    const bits = new InputWindow(buffers.raw.subarray(0, most), raw);
    call.startDecoding(buffers.stream.byteOffset, buffers.raw.byteOffset);
    for (const { first, rows } of groups) {
      const need = rows * columns * MAX_BYTES;
      call.moveInput(words.supply(call.streamPosition(), need), bits.supply(call.rawPosition(), need));
      if (!call.decodeRows(first, rows, columns, shrunk, code, words.end, bits.end)) return false;
      out.set(buffers.elements.subarray(0, rows * columns * width), first * columns * width);
    }
    return Boolean(call.endedAt(words.end, bits.end));
  }

  /** Checks the shape, reserves memory, loads the contexts and sets every column's state to 0. @returns the groups of rows. */
  private prepare({ rowContexts, columnContexts }: BlockContexts, weights: number): Group[] {
    const rows = rowContexts.length;
    const columns = columnContexts.length;
    if (rows < 1 || rows > ROWS_PER_BLOCK || columns < 1 || weights !== rows * columns)
      throw new RangeError(`bad block: ${weights} weights, ${rows} rows, ${columns} columns`);
    this.memory.reserve(columns);
    const { buffers } = this.memory;
    buffers.rowContexts.set(rowContexts);
    buffers.columnContexts.set(columnContexts);
    buffers.states.fill(0);
    const rowsPerCall = Math.max(1, Math.floor(CALL_WEIGHTS / columns));
    return Array.from({ length: Math.ceil(rows / rowsPerCall) }, (_, i) => {
      const first = i * rowsPerCall;
      return { first, rows: Math.min(rowsPerCall, rows - first) };
    });
  }

  private loadDecoder(tables: IndexTables, { rowSteps, columnSteps }: BlockSteps): void {
    const { call, buffers } = this.memory;
    buffers.rowSteps.set(rowSteps);
    buffers.columnSteps.set(columnSteps);
    if (this.decoding === tables) return;
    buffers.frequencies.set(tables.frequencies);
    buffers.shrinks.set(tables.shrinks);
    call.buildDecoder();
    this.decoding = tables;
  }

  /** Finds tables and tokens of all groups in order; those of the last group stay in memory. @returns the raw bits. */
  private tokenizeAll(groups: readonly Group[], columns: number, indices: Int16Array): Uint8Array {
    const { call, buffers } = this.memory;
    const { raw, states } = buffers;
    const pieces: Uint8Array[] = [];
    let partBits = 0;
    for (const group of groups) {
      group.states = states.slice(0, columns);
      if (!this.tokenize(group, columns, indices, partBits))
        throw new RangeError('an index is out of range, or its context has no table');
      const length = call.rawLengthBits() >> 3;
      pieces.push(raw.slice(0, length));
      raw[0] = raw[length]!;
      partBits = call.rawLengthBits() & 7;
    }
    if (partBits) pieces.push(raw.slice(0, 1));
    return concatenate(pieces);
  }

  /** Encodes the groups from the last to the first, after tokenizeAll. Tokenizes all but the last again, so that they need not be stored. */
  private encodeBackwards(groups: readonly Group[], columns: number, indices: Int16Array): Uint8Array {
    const { call, buffers } = this.memory;
    const { stream } = buffers;
    const pieces: Uint8Array[] = [];
    call.startEncoding();
    groups.toReversed().forEach((group, later) => {
      if (later > 0) this.tokenize(group, columns, indices, 0);
      let start = call.encodeRows(group.rows, columns, stream.byteOffset + stream.length);
      if (group.first === 0) start = call.finishEncoding();
      pieces.unshift(stream.slice(start - stream.byteOffset));
    });
    return concatenate(pieces);
  }

  private tokenize({ first, rows, states }: Group, columns: number, indices: Int16Array, partBits: number) {
    const { call, buffers } = this.memory;
    buffers.states.set(states!);
    const { buffer, byteOffset } = indices;
    const [start, length] = [byteOffset + first * columns * 2, rows * columns * 2];
    buffers.elements.set(new Uint8Array(buffer, start, length));
    call.startRaw(buffers.raw.byteOffset, partBits);
    return Boolean(call.tokenize(first, rows, columns));
  }
}

let shared: IndexCoder | undefined;

/** Returns the calling thread's own instance, created on first use. */
export function indexCoder(): IndexCoder {
  shared ??= new IndexCoder();
  return shared;
}
