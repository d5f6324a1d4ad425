import { concatenate } from '../../core/bytes.js';
import {
  type BlockSteps,
  type ElementKind,
  type IndexCoder,
  type IndexTables,
  KINDS,
} from '../../wasm/indices.js';
import { ArithmeticDecoder, ArithmeticEncoder } from './arithmetic.js';
import { type Codes, codeCodes, factorsOf } from './codes.js';
import { ROWS_PER_BLOCK, stepSizes } from './levels.js';
import type { TensorParameters } from './parameters.js';

/** What a block's bytes stand for, beside what its file and its tensor tell. */
export interface RowBlock {
  /** Of at most ROWS_PER_BLOCK rows. */
  readonly rows: Codes;
  /** [rows, columns], row-major, each from -1000 to 1000. */
  readonly indices: Int16Array;
}

/** Codes a block. @throws {RangeError} on codes or indices out of bounds, or in contexts without a table. */
export function encodeBlock(
  coder: IndexCoder,
  tables: IndexTables,
  parameters: TensorParameters,
  { rows, indices }: RowBlock,
): Uint8Array {
  const arithmetic = new ArithmeticEncoder();
  codeCodes(arithmetic, rows.steps.length, parameters.rowFactorRange > 0, rows);
  const codes = arithmetic.finish();
  const contexts = { rowContexts: rows.contexts, columnContexts: parameters.columns.contexts };
  const { stream, raw } = coder.encode(tables, contexts, indices);
  return concatenate([lengthBytes(codes.length), lengthBytes(raw.length), codes, raw, stream]);
}

/**
 * Decodes a block of `rowCount` rows to little-endian elements, row-major; as `I16` to its indices.
 * @throws {RangeError} when the bytes are not those of such a block.
 */
export function decodeBlock(
  coder: IndexCoder,
  tables: IndexTables,
  parameters: TensorParameters,
  bytes: Uint8Array,
  rowCount: number,
  kind: ElementKind,
): Uint8Array {
  const { rows, raw, stream } = openBlock(parameters, bytes, rowCount);
  const contexts = { rowContexts: rows.contexts, columnContexts: parameters.columns.contexts };
  const out = new Uint8Array(rowCount * parameters.columns.steps.length * KINDS[kind][1]);
  if (!coder.decode(tables, contexts, stepsOf(parameters, rows), { stream, raw }, kind, out))
    throw new RangeError('a stream of indices does not end with the last of them');
  return out;
}

/** Steps of a block's rows and of the columns, times their factors, each rounded to float32. */
export function stepsOf(parameters: TensorParameters, rows: Codes): BlockSteps {
  return {
    rowSteps: sideSteps(rows, 1, parameters.rowFactorRange),
    columnSteps: sideSteps(parameters.columns, parameters.scale, parameters.columnFactorRange),
  };
}

function sideSteps({ steps, factors }: Codes, scale: number, range: number): Float32Array {
  const sizes = stepSizes(steps, scale);
  if (!factors) return sizes;
  const scaling = factorsOf(factors, range);
  return sizes.map((size, i) => size * scaling[i]!);
}

/** The rows' codes and the pieces of a block that hold its indices, which are not decoded. @throws {RangeError} */
export function openBlock(parameters: TensorParameters, bytes: Uint8Array, rowCount: number) {
  if (rowCount < 1 || rowCount > ROWS_PER_BLOCK) throw new RangeError(`a block of ${rowCount} rows`);
  const [codesLength, at] = readLength(bytes, 0);
  const [rawLength, codesStart] = readLength(bytes, at);
  const rawStart = codesStart + codesLength;
  const streamStart = rawStart + rawLength;
  if (streamStart > bytes.length)
    throw new RangeError(`a block of ${bytes.length} bytes is shorter than it says`);
  const arithmetic = new ArithmeticDecoder(bytes.subarray(codesStart, rawStart));
  const rows = codeCodes(arithmetic, rowCount, parameters.rowFactorRange > 0);
  arithmetic.finish();
  return { rows, raw: bytes.subarray(rawStart, streamStart), stream: bytes.subarray(streamStart) };
}

/** A length below 2^28: 7 bits a byte, the least significant first, the top bit set on all but the last. */
function lengthBytes(length: number): Uint8Array {
  const bytes: number[] = [];
  for (; length > 127; length >>>= 7) bytes.push((length & 127) | 128);
  return Uint8Array.of(...bytes, length);
}

function readLength(bytes: Uint8Array, start: number): [length: number, end: number] {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[start + i] ?? 128;
    length |= (byte & 127) << (7 * i);
    if (byte < 128) return [length, start + i + 1];
  }
  throw new RangeError('a block does not begin with two lengths');
}
