import { concatenate } from '../core/bytes.js';
import { KIND_BF16, KIND_F16, KIND_F32, KIND_I16, ROWS_PER_BLOCK, STATES_BYTES } from './constants.js';
import { CALL_WEIGHTS, IndexMemory, InputWindow, MAX_BYTES } from './index-memory.js';

/** What blocks are coded with: shared by all tensors of a file. */
export interface IndexTables {
  /** [TABLES][TOKENS], tokens from -64. A table sums to SCALE, none of it over SCALE - 1; or it is zero and not used. */
  readonly frequencies: Uint16Array;
  /** [CONTEXTS][2][4]: how far a value lies below its level, in steps, for |index| = 0 (always 0), 1, 2, and 3 or more. */
  readonly shrinks: Float32Array;
}

/** Where a block's weights stand: at most ROWS_PER_BLOCK rows, and all columns of the tensor. */
export interface BlockContexts {
  readonly rowContexts: Int16Array;
  readonly columnContexts: Int16Array;
}

/** What turns indices to values: float32 steps. */
export interface BlockSteps {
  readonly rowSteps: Float32Array;
  readonly columnSteps: Float32Array;
}

/** Indices as bytes: the rANS stream, and the raw bits that follow some of its tokens. */
export interface CodedIndices {
  readonly stream: Uint8Array;
  readonly raw: Uint8Array;
}

/** Elements that decoding can write, with their bytes: `I16` are the indices themselves. */
export const KINDS = {
  I16: [KIND_I16, 2],
  F32: [KIND_F32, 4],
  F16: [KIND_F16, 2],
  BF16: [KIND_BF16, 2],
} as const;
export type ElementKind = keyof typeof KINDS;

/** Most matrices have no more. */
const USUAL_COLUMNS = 1 << 13;

/** Rows that one call handles; encoding, with the states that columns have before them. */
interface Group {
  readonly first: number;
  readonly rows: number;
  states?: Uint8Array;
}

/**
 * Codes blocks of indices. One instance per thread, used by one block at a time; its memory is 5 MiB, or what a row
 * takes (24 bytes per column) when that is more.
 */
export class IndexCoder {
  private readonly memory = new IndexMemory(USUAL_COLUMNS);
  private decoding: IndexTables | undefined;
  private encoding: IndexTables | undefined;

  /**
   * Codes `indices` [rows, columns], row-major, each from -1000 to 1000.
   * @throws {RangeError} when an index is beyond that, or the tables have none for a context in use.
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
   * Decodes a block to little-endian elements of `kind`, row-major, into `out`, which is exactly as long.
   * @returns false when the bytes are not those of such a block; `out` is then garbage.
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

  /** Checks the shape, makes room and loads contexts; every column's state is 0. @returns the groups of rows. */
  private prepare({ rowContexts, columnContexts }: BlockContexts, weights: number): Group[] {
    const rows = rowContexts.length;
    const columns = columnContexts.length;
    if (rows < 1 || rows > ROWS_PER_BLOCK || columns < 1 || weights !== rows * columns)
      throw new RangeError(`a block of ${weights} weights for ${rows} rows and ${columns} columns`);
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

  /** Goes through all groups forwards, which leaves tables and tokens of the last in memory. @returns the raw bits. */
  private tokenizeAll(groups: readonly Group[], columns: number, indices: Int16Array): Uint8Array {
    const { call, buffers } = this.memory;
    const { raw, states } = buffers;
    const pieces: Uint8Array[] = [];
    let partBits = 0;
    for (const group of groups) {
      group.states = states.slice(0, columns);
      if (!this.tokenize(group, columns, indices, partBits))
        throw new RangeError('an index is out of bounds, or its context has no table');
      const length = call.rawLengthBits() >> 3;
      pieces.push(raw.slice(0, length));
      raw[0] = raw[length]!;
      partBits = call.rawLengthBits() & 7;
    }
    if (partBits) pieces.push(raw.slice(0, 1));
    return concatenate(pieces);
  }

  /** After tokenizeAll: finds tables and tokens of the groups before the last again, rather than store them all. */
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

/** The calling thread's own instance, made on first use. */
export function indexCoder(): IndexCoder {
  shared ??= new IndexCoder();
  return shared;
}
