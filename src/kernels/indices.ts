import { CONTEXTS, ROWS_PER_BLOCK } from '../codec/lossy/levels.js';
import { indices as indicesModule } from './compiled.js';

/** Tables: one for each context and quantiser, `context * 2 + quantiser`. */
export const TABLES = CONTEXTS * 2;

/** Tokens of a table: -63 to 63, and the escape in place of -64. */
export const TOKENS = 128;

/** Frequencies of a table sum to 2^12: a slot's frequency, offset and token then fit 32 bits. */
export const SCALE = 1 << 12;

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

interface Exports {
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
  tokenise(rows: number, columns: number, rowContexts: number, columnContexts: number, states: number, encoder: number, indices: number, tables: number, tokens: number): number;
  startEncoding(): void;
  // biome-ignore format: as above
  encodeRows(rows: number, columns: number, tables: number, tokens: number, encoder: number, end: number): number;
  finishEncoding(start: number): number;
}

/** Weights handled by one call: their values stay in the processor's cache. */
const CALL_WEIGHTS = 1 << 18;

/** Room for whole vectors past an end. */
const SLACK_BYTES = 64;

const STATES_BYTES = 16;

/** A token takes at most a word of the stream, and 13 raw bits. */
const MOST_BYTES = 2;

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
    stream: (weights + columns) * MOST_BYTES + STATES_BYTES,
    raw: (weights + columns) * MOST_BYTES,
  };
}
type Layout = Record<keyof ReturnType<typeof sizes>, number>;

/** Bytes of a stream in the kernels' memory, moved along as they are consumed. */
class Window {
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

/**
 * Codes blocks of indices. One instance a thread, used by one block at a time; its memory is 7 MiB, or what one row
 * takes (14 bytes a column) when that is more.
 */
export class IndexCoder {
  private readonly call: Exports;
  private bytes: Uint8Array;
  private at!: Layout;
  private capacity = 0;
  private decoding: IndexTables | undefined;
  private encoding: IndexTables | undefined;

  constructor() {
    compiled ??= new WebAssembly.Module(fromBase64(indicesModule));
    this.call = new WebAssembly.Instance(compiled).exports as unknown as Exports;
    this.bytes = new Uint8Array(this.call.memory.buffer);
    this.layOut(1 << 13);
  }

  /**
   * Codes `indices` [rows, columns], row-major, each from -1000 to 1000.
   * @throws {RangeError} when an index is beyond that, or the tables have none for a context in use.
   */
  encode(tables: IndexTables, contexts: BlockContexts, indices: Int16Array): CodedIndices {
    const { call, at } = this.prepare(contexts, indices.length);
    if (this.encoding !== tables) {
      this.view(Uint16Array, at.frequencies, tables.frequencies.length).set(tables.frequencies);
      call.buildEncoder(at.frequencies, at.encoder);
      this.encoding = tables;
    }
    const groups = this.groups(contexts);
    const raw = this.tokeniseAll(groups, contexts, indices);
    const pieces: Uint8Array[] = [];
    call.startEncoding();
    const end = at.stream + sizes(this.capacity).stream;
    groups.forEach((group, later) => {
      if (later > 0) this.tokenise(group, contexts, indices);
      let start = call.encodeRows(
        group.rows,
        contexts.columnContexts.length,
        at.tables,
        at.tokens,
        at.encoder,
        end,
      );
      if (later === groups.length - 1) start = call.finishEncoding(start);
      pieces.unshift(this.bytes.slice(start, end));
    });
    return { stream: concatenate(pieces), raw };
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
    const columns = contexts.columnContexts.length;
    if (stream.length < STATES_BYTES) return false;
    const { call, at } = this.prepare(contexts, out.length / width);
    this.loadDecoder(tables);
    this.view(Float32Array, at.rowSteps, steps.rowSteps.length).set(steps.rowSteps);
    this.view(Float32Array, at.columnSteps, columns).set(steps.columnSteps);
    const shrinks = tables.shrinks.some((shrink) => shrink !== 0) ? at.shrinks : 0;
    const weights = Math.max(CALL_WEIGHTS, columns);
    const words = new Window(this.bytes, at.stream, weights * MOST_BYTES + STATES_BYTES, stream);
    const bits = new Window(this.bytes, at.raw, weights * MOST_BYTES, raw);
    call.startDecoding(at.stream, at.raw);
    const rowsPerCall = Math.floor(weights / columns);
    const rows = contexts.rowContexts.length;
    for (let row = 0; row < rows; row += rowsPerCall) {
      const count = Math.min(rowsPerCall, rows - row);
      const need = count * columns * MOST_BYTES;
      call.moveInput(words.supply(call.streamPosition(), need), bits.supply(call.rawPosition(), need));
      // biome-ignore format: as declared
      const good = call.decodeRows(count, columns, at.rowContexts + row * 2, at.rowSteps + row * 4, at.columnContexts, at.columnSteps,
        at.states, at.rowTables, at.rowIndices, at.slots, shrinks, code, at.elements, words.end, bits.end);
      if (!good) return false;
      const length = count * columns * width;
      out.set(this.bytes.subarray(at.elements, at.elements + length), row * columns * width);
    }
    return Boolean(call.endedAt(words.end, bits.end));
  }

  /** Checks the shape, makes room, and loads contexts; every column's state is 0. */
  private prepare({ rowContexts, columnContexts }: BlockContexts, weights: number) {
    const rows = rowContexts.length;
    const columns = columnContexts.length;
    if (rows < 1 || rows > ROWS_PER_BLOCK || columns < 1 || weights !== rows * columns)
      throw new RangeError(`a block of ${weights} weights for ${rows} rows and ${columns} columns`);
    if (columns > this.capacity) this.layOut(columns);
    const { call, at } = this;
    this.view(Int16Array, at.rowContexts, rows).set(rowContexts);
    this.view(Int16Array, at.columnContexts, columns).set(columnContexts);
    this.bytes.fill(0, at.states, at.states + columns);
    return { call, at };
  }

  private loadDecoder(tables: IndexTables): void {
    if (this.decoding === tables) return;
    const { at } = this;
    this.view(Uint16Array, at.frequencies, tables.frequencies.length).set(tables.frequencies);
    this.view(Float32Array, at.shrinks, tables.shrinks.length).set(tables.shrinks);
    this.call.buildDecoder(at.frequencies, at.slots);
    this.decoding = tables;
  }

  /** Rows that one call handles, the last first, with the states that they begin with once known. */
  private groups({ rowContexts, columnContexts }: BlockContexts): Group[] {
    const rowsPerCall = Math.floor(Math.max(CALL_WEIGHTS, columnContexts.length) / columnContexts.length);
    const groups: Group[] = [];
    for (let first = 0; first < rowContexts.length; first += rowsPerCall)
      groups.unshift({ first, rows: Math.min(rowsPerCall, rowContexts.length - first), states: undefined });
    return groups;
  }

  /** Goes through all groups forwards: leaves the last one's tables and tokens in memory. @returns the raw bits. */
  private tokeniseAll(groups: readonly Group[], contexts: BlockContexts, indices: Int16Array): Uint8Array {
    const { call, at, bytes } = this;
    const pieces: Uint8Array[] = [];
    let partBits = 0;
    for (const group of groups.toReversed()) {
      group.states = bytes.slice(at.states, at.states + contexts.columnContexts.length);
      if (!this.tokenise(group, contexts, indices, partBits))
        throw new RangeError('an index is out of bounds, or its context has no table');
      const length = call.rawLengthBits() >> 3;
      pieces.push(bytes.slice(at.raw, at.raw + length));
      bytes[at.raw] = bytes[at.raw + length]!;
      partBits = call.rawLengthBits() & 7;
    }
    if (partBits) pieces.push(bytes.slice(at.raw, at.raw + 1));
    return concatenate(pieces);
  }

  private tokenise(group: Group, contexts: BlockContexts, indices: Int16Array, partBits = 0): boolean {
    const { call, at, bytes } = this;
    const columns = contexts.columnContexts.length;
    const { first, rows, states } = group;
    if (states) bytes.set(states, at.states);
    this.view(Int16Array, at.elements, rows * columns).set(
      indices.subarray(first * columns, (first + rows) * columns),
    );
    call.startRaw(at.raw, partBits);
    // biome-ignore format: as declared
    return Boolean(call.tokenise(rows, columns, at.rowContexts + first * 2, at.columnContexts, at.states, at.encoder, at.elements,
      at.tables, at.tokens));
  }

  private view<View>(
    type: new (buffer: ArrayBufferLike, offset: number, length: number) => View,
    offset: number,
    length: number,
  ): View {
    return new type(this.bytes.buffer, offset, length);
  }

  /** Buffers one after another, for so many columns. */
  private layOut(columns: number): void {
    let end = this.call.heapBase();
    const at = {} as Layout;
    for (const [name, size] of Object.entries(sizes(columns)) as [keyof Layout, number][]) {
      at[name] = (end + 15) & ~15;
      end = at[name] + size + SLACK_BYTES;
    }
    const missing = end - this.call.memory.buffer.byteLength;
    if (missing > 0) this.call.memory.grow(Math.ceil(missing / 65536));
    this.at = at;
    this.bytes = new Uint8Array(this.call.memory.buffer);
    this.capacity = columns;
  }
}

interface Group {
  readonly first: number;
  readonly rows: number;
  states: Uint8Array | undefined;
}

let compiled: WebAssembly.Module | undefined;
let shared: IndexCoder | undefined;

/** The calling thread's own instance, made on first use. */
export function indexCoder(): IndexCoder {
  shared ??= new IndexCoder();
  return shared;
}

/** Pieces one after another. */
export function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let end = 0;
  for (const piece of pieces) {
    whole.set(piece, end);
    end += piece.length;
  }
  return whole;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
