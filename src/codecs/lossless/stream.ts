import { DECODE_CHUNK, type LosslessKernels } from '../../wasm/lossless.js';
import { type FrequencyTable, normalize, readTable, writeTable } from './frequencies.js';

/** A table and the stream coded with it, which is empty for a table of one symbol. */
export interface CodedSymbols {
  readonly table: Uint8Array;
  /** A view of the kernels' memory, valid until their next use. */
  readonly stream: Uint8Array;
}

/** Encodes the `count` u16 symbols at `at.symbols`. @param bins counts by symbol. */
export function encodeSymbols(kernels: LosslessKernels, count: number, bins: Uint32Array): CodedSymbols {
  const { at, bytes, call } = kernels;
  const model = normalize(bins);
  const table = writeTable(model);
  if (model.symbols.length === 1) return { table, stream: bytes.subarray(0, 0) };
  const frequencies = new Uint32Array(bytes.buffer, at.frequencies, bins.length).fill(0);
  model.symbols.forEach((symbol, i) => {
    frequencies[symbol] = model.frequencies[i]!;
  });
  call.buildEncoder(at.frequencies, bins.length, at.encoder);
  const start = call.encode(at.symbols, count, at.encoder, at.streamEnd);
  return { table, stream: bytes.subarray(start, at.streamEnd) };
}

/**
 * Reads a table at offset `start` of the kernels' memory and returns a decoder.
 * @throws {RangeError} for a malformed table.
 */
export function openSymbols(
  kernels: LosslessKernels,
  start: number,
  end: number,
  limit: number,
): SymbolDecoder {
  const table = readTable(kernels.bytes.subarray(start, end), limit);
  return new SymbolDecoder(kernels, table, start + table.lengthBytes);
}

/** Decodes symbols in chunks to u16 values at `at.symbols`. */
export class SymbolDecoder {
  constructor(
    private readonly kernels: LosslessKernels,
    private readonly table: FrequencyTable,
    /** Offset after the table. */
    readonly tableEnd: number,
  ) {}

  /**
   * Decodes `count` symbols, shifted left by `shift`, from the stream at `start` to `end`. Calls `take` for each chunk at `at.symbols`.
   * @throws {RangeError} when the stream is shorter or longer than its symbols.
   */
  decode(
    count: number,
    shift: number,
    start: number,
    end: number,
    take: (first: number, count: number) => void,
  ): void {
    const { at, bytes, call } = this.kernels;
    const { symbols, frequencies } = this.table;
    const single = symbols.length === 1;
    if (single) new Uint16Array(bytes.buffer, at.symbols, DECODE_CHUNK).fill(symbols[0]! << shift);
    else {
      if (end - start < 16) throw new RangeError('stream too short');
      new Uint32Array(bytes.buffer, at.frequencies, symbols.length).set(frequencies);
      new Uint16Array(bytes.buffer, at.values, symbols.length).set(symbols.map((symbol) => symbol << shift));
      call.buildDecoder(at.frequencies, at.values, symbols.length, at.slots, at.entries);
      call.startDecoding(start);
    }
    for (let first = 0; first < count; first += DECODE_CHUNK) {
      const chunk = Math.min(DECODE_CHUNK, count - first);
      if (!single && !call.decode(chunk, at.slots, at.entries, at.symbols, end))
        throw new RangeError('stream ends before its last symbol');
      take(first, chunk);
    }
    if (single ? start !== end : !call.endedAt(end))
      throw new RangeError('stream does not end with its last symbol');
  }
}
