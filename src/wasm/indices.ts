import { ROWS_PER_BLOCK } from '../codecs/trellis/levels.js';
import { concatenate } from '../core/bytes.js';
import { CALL_WEIGHTS, IndexMemory, MAX_BYTES, STATES_BYTES, Window } from './index-memory.js';

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
export const KINDS = { I16: [0, 2], F32: [1, 4], F16: [2, 2], BF16: [3, 2] } as const;
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
 * Codes blocks of indices. One instance a thread, used by one block at a time; its memory is 5 MiB, or what a row
 * takes (24 bytes a column) when that is more.
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
    const { call, at } = this.memory;
    if (this.encoding !== tables) {
      this.memory.put(tables.frequencies, at.frequencies);
      call.buildEncoder(at.frequencies, at.encoder);
      this.encoding = tables;
    }
    const raw = this.tokenizeAll(groups, contexts, indices);
    return { stream: this.encodeBackwards(groups, contexts, indices), raw };
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
    const { call, at, bytes } = this.memory;
    this.loadDecoder(tables, steps);
    const shrinks = tables.shrinks.some((shrink) => shrink !== 0) ? at.shrinks : 0;
    const columns = contexts.columnContexts.length;
    const most = Math.max(CALL_WEIGHTS, columns) * MAX_BYTES;
    const words = new Window(bytes, at.stream, most + STATES_BYTES, stream);
    const bits = new Window(bytes, at.raw, most, raw);
    call.startDecoding(at.stream, at.raw);
    for (const { first, rows } of groups) {
      const need = rows * columns * MAX_BYTES;
      call.moveInput(words.supply(call.streamPosition(), need), bits.supply(call.rawPosition(), need));
      // biome-ignore format: as declared
      if (!call.decodeRows(rows, columns, at.rowContexts + first * 2, at.rowSteps + first * 4, at.columnContexts, at.columnSteps,
        at.states, at.rowTables, at.rowIndices, at.slots, shrinks, code, at.elements, words.end, bits.end)) return false;
      const length = rows * columns * width;
      out.set(bytes.subarray(at.elements, at.elements + length), first * columns * width);
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
    const { at, bytes } = this.memory;
    this.memory.put(rowContexts, at.rowContexts);
    this.memory.put(columnContexts, at.columnContexts);
    bytes.fill(0, at.states, at.states + columns);
    const rowsPerCall = Math.max(1, Math.floor(CALL_WEIGHTS / columns));
    return Array.from({ length: Math.ceil(rows / rowsPerCall) }, (_, i) => {
      const first = i * rowsPerCall;
      return { first, rows: Math.min(rowsPerCall, rows - first) };
    });
  }

  private loadDecoder(tables: IndexTables, { rowSteps, columnSteps }: BlockSteps): void {
    const { call, at } = this.memory;
    this.memory.put(rowSteps, at.rowSteps);
    this.memory.put(columnSteps, at.columnSteps);
    if (this.decoding === tables) return;
    this.memory.put(tables.frequencies, at.frequencies);
    this.memory.put(tables.shrinks, at.shrinks);
    call.buildDecoder(at.frequencies, at.slots);
    this.decoding = tables;
  }

  /** Goes through all groups forwards, which leaves tables and tokens of the last in memory. @returns the raw bits. */
  private tokenizeAll(groups: readonly Group[], contexts: BlockContexts, indices: Int16Array): Uint8Array {
    const { call, at, bytes } = this.memory;
    const pieces: Uint8Array[] = [];
    let partBits = 0;
    for (const group of groups) {
      group.states = bytes.slice(at.states, at.states + contexts.columnContexts.length);
      if (!this.tokenize(group, contexts, indices, partBits))
        throw new RangeError('an index is out of bounds, or its context has no table');
      const length = call.rawLengthBits() >> 3;
      pieces.push(bytes.slice(at.raw, at.raw + length));
      bytes[at.raw] = bytes[at.raw + length]!;
      partBits = call.rawLengthBits() & 7;
    }
    if (partBits) pieces.push(bytes.slice(at.raw, at.raw + 1));
    return concatenate(pieces);
  }

  /** After tokenizeAll: finds tables and tokens of the groups before the last again, rather than keep them all. */
  private encodeBackwards(
    groups: readonly Group[],
    contexts: BlockContexts,
    indices: Int16Array,
  ): Uint8Array {
    const { call, at, bytes } = this.memory;
    const columns = contexts.columnContexts.length;
    const pieces: Uint8Array[] = [];
    call.startEncoding();
    groups.toReversed().forEach((group, later) => {
      if (later > 0) this.tokenize(group, contexts, indices, 0);
      let start = call.encodeRows(group.rows, columns, at.tables, at.tokens, at.encoder, at.streamEnd);
      if (group.first === 0) start = call.finishEncoding(start);
      pieces.unshift(bytes.slice(start, at.streamEnd));
    });
    return concatenate(pieces);
  }

  private tokenize(
    { first, rows, states }: Group,
    contexts: BlockContexts,
    indices: Int16Array,
    partBits: number,
  ) {
    const { call, at, bytes } = this.memory;
    const columns = contexts.columnContexts.length;
    bytes.set(states!, at.states);
    this.memory.put(indices.subarray(first * columns, (first + rows) * columns), at.elements);
    call.startRaw(at.raw, partBits);
    // biome-ignore format: as declared
    return Boolean(call.tokenize(rows, columns, at.rowContexts + first * 2, at.columnContexts, at.states, at.encoder, at.elements,
      at.tables, at.tokens));
  }
}

let shared: IndexCoder | undefined;

/** The calling thread's own instance, made on first use. */
export function indexCoder(): IndexCoder {
  shared ??= new IndexCoder();
  return shared;
}
