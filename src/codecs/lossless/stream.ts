import { DECODE_CHUNK, type LosslessKernels, statesBytes } from '../../wasm/lossless.js';
import { type FrequencyTable, normalize, readTable, writeTable } from './frequencies.js';

/** A table and the stream coded with it, which is empty for a table of one symbol. */
export interface CodedSymbols {
  readonly table: Uint8Array;
  /** A view of the kernels' memory, valid until their next use. */
  readonly stream: Uint8Array;
}

/** Encodes the first `count` of the kernels' `symbols`. @param bins counts by symbol. */
export function encodeSymbols(kernels: LosslessKernels, count: number, bins: Uint32Array): CodedSymbols {
  const model = normalize(bins);
  return { table: writeTable(model), stream: encodeStream(kernels, count, model, bins.length) };
}

/** Encodes the first `count` of the kernels' `symbols`, all below `limit`, with a table. @returns a view of the kernels' memory. */
export function encodeStream(
  kernels: LosslessKernels,
  count: number,
  model: FrequencyTable,
  limit: number,
): Uint8Array {
  if (model.symbols.length === 1) return new Uint8Array();
  const { frequencies } = kernels.buffers;
  frequencies.fill(0, 0, limit);
  model.symbols.forEach((symbol, i) => {
    frequencies[symbol] = model.frequencies[i]!;
  });
  return kernels.encode(count, limit);
}

/** Called with decoded values `first` to `first + count`, which are the first `count` of the kernels' `symbols`. */
export type TakeChunk = (first: number, count: number) => void;

/** Decodes symbols with the table at the start of a view of the kernels' `payload`. */
export class SymbolDecoder {
  private readonly table: FrequencyTable;
  /** The bytes after the table. */
  readonly rest: Uint8Array;

  /** Reads the table. @throws {RangeError} for a malformed table, or one with a symbol of `limit` or more. */
  constructor(
    private readonly kernels: LosslessKernels,
    coded: Uint8Array,
    limit: number,
  ) {
    const { lengthBytes, ...table } = readTable(coded, limit);
    this.table = table;
    this.rest = coded.subarray(lengthBytes);
  }

  /**
   * Decodes `count` symbols, shifted left by `shift`, from `stream`, a view of the kernels' `payload`, in chunks.
   * @throws {RangeError} when the stream is shorter or longer than its symbols.
   */
  decode(count: number, shift: number, stream: Uint8Array, take: TakeChunk): void {
    decodeStream(this.kernels, this.table, count, shift, stream, take);
  }
}

/**
 * Decodes `count` symbols of a table, shifted left by `shift`, from `stream`, a view of the kernels' `payload`, in chunks.
 * @throws {RangeError} when the stream is shorter or longer than its symbols.
 */
export function decodeStream(
  kernels: LosslessKernels,
  { symbols, frequencies }: FrequencyTable,
  count: number,
  shift: number,
  stream: Uint8Array,
  take: TakeChunk,
): void {
  const single = symbols.length === 1;
  if (single) kernels.buffers.symbols.fill(symbols[0]! << shift, 0, DECODE_CHUNK);
  else {
    if (stream.length < statesBytes(count)) throw new RangeError('stream too short');
    kernels.buffers.frequencies.set(frequencies);
    kernels.buffers.values.set(symbols.map((symbol) => symbol << shift));
    kernels.startDecoding(stream, symbols.length, count);
  }
  for (let first = 0; first < count; first += DECODE_CHUNK) {
    const chunk = Math.min(DECODE_CHUNK, count - first);
    if (!single && !kernels.decode(chunk)) throw new RangeError('stream ends before its last symbol');
    take(first, chunk);
  }
  if (single ? stream.length : !kernels.streamEnded())
    throw new RangeError('stream does not end with its last symbol');
}

const LENGTH_BYTES = 4;

/**
 * Encodes the first `count` of the kernels' `symbols`, which are bytes with counts in `bins`, as a part of a payload: length u32
 * little-endian, then either table and stream (shorter than `count`) or the bytes themselves. @returns the part in pieces.
 */
export function encodePart(kernels: LosslessKernels, count: number, bins: Uint32Array): Uint8Array[] {
  if (!count) return [new Uint8Array(LENGTH_BYTES)];
  const { table, stream } = encodeSymbols(kernels, count, bins);
  const length = Math.min(table.length + stream.length, count);
  const head = new Uint8Array(Uint32Array.of(length).buffer);
  if (length < count) return [head, table, stream.slice()];
  return [head, Uint8Array.from(kernels.buffers.symbols.subarray(0, count))];
}

/**
 * Decodes the part of `count` bytes at offset `start` of a view of the kernels' `payload`.
 * @returns the offset of the next part. @throws {RangeError} when malformed.
 */
export function decodePart(
  kernels: LosslessKernels,
  payload: Uint8Array,
  start: number,
  count: number,
  take: TakeChunk,
): number {
  const body = start + LENGTH_BYTES;
  if (body > payload.length) throw new RangeError('missing part of the payload');
  const length = new DataView(payload.buffer, payload.byteOffset + start).getUint32(0, true);
  if (length > count || body + length > payload.length) throw new RangeError('part longer than the payload');
  const coded = payload.subarray(body, body + length);
  if (length === count) {
    kernels.buffers.symbols.set(coded);
    take(0, count);
  } else {
    const decoder = new SymbolDecoder(kernels, coded, 256);
    decoder.decode(count, 0, decoder.rest, take);
  }
  return body + length;
}

/** Encodes bytes as a part. @returns the part in pieces. */
export function encodeBytes(kernels: LosslessKernels, bytes: Uint8Array): Uint8Array[] {
  kernels.buffers.symbols.set(bytes);
  return encodePart(kernels, bytes.length, countBytes(bytes));
}

/** Decodes the part of as many bytes as `out` has, to it. @returns and throws as {@link decodePart}. */
export function decodeBytes(
  kernels: LosslessKernels,
  payload: Uint8Array,
  start: number,
  out: Uint8Array,
): number {
  return decodePart(kernels, payload, start, out.length, (first, count) => {
    out.set(kernels.buffers.symbols.subarray(0, count), first);
  });
}

/** Returns the count of each byte. */
export function countBytes(bytes: Uint8Array): Uint32Array {
  const bins = new Uint32Array(256);
  for (let i = 0; i < bytes.length; i++) bins[bytes[i]!]!++;
  return bins;
}
