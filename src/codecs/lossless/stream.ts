import { DECODE_CHUNK, type LosslessKernels } from '../../wasm/lossless.js';
import { type FrequencyTable, normalize, readTable, writeTable } from './frequencies.js';

/** A table and the stream coded by it. A table of one symbol needs no stream. */
export interface CodedSymbols {
  readonly table: Uint8Array;
  /** A view of the kernels' memory, valid until their next use. */
  readonly stream: Uint8Array;
}

/** Codes the `count` u16 symbols at `at.symbols`, counted in `bins` (index: symbol). */
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
 * Reads a table at offset `start` of the kernels' memory and prepares to decode.
 * @throws {RangeError} on a malformed table.
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

/** Decodes symbols chunk by chunk to u16 values at `at.symbols`. */
export class SymbolDecoder {
  constructor(
    private readonly kernels: LosslessKernels,
    private readonly table: FrequencyTable,
    /** Where what follows the table begins. */
    readonly tableEnd: number,
  ) {}

  /**
   * Decodes `count` symbols, shifted left by `shift`, from the stream `start` to `end`, handing over each chunk as
   * soon as it is at `at.symbols`.
   * @throws {RangeError} when the stream is not exactly as long as its symbols.
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
      if (end - start < 16) throw new RangeError('a stream is too short');
      new Uint32Array(bytes.buffer, at.frequencies, symbols.length).set(frequencies);
      new Uint16Array(bytes.buffer, at.values, symbols.length).set(symbols.map((symbol) => symbol << shift));
      call.buildDecoder(at.frequencies, at.values, symbols.length, at.slots, at.entries);
      call.startDecoding(start);
    }
    for (let first = 0; first < count; first += DECODE_CHUNK) {
      const chunk = Math.min(DECODE_CHUNK, count - first);
      if (!single && !call.decode(chunk, at.slots, at.entries, at.symbols, end))
        throw new RangeError('a stream ends before its last symbol');
      take(first, chunk);
    }
    if (single ? start !== end : !call.endedAt(end))
      throw new RangeError('a stream does not end with its last symbol');
  }
}
