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

/** The content of a block, apart from the file's tables and the tensor's parameters. */
export interface RowBlock {
  /** Codes of the rows, at most ROWS_PER_BLOCK. */
  readonly rows: Codes;
  /** [rows, columns], row-major, each from -1000 to 1000. */
  readonly indices: Int16Array;
}

/** Encodes a block. @throws {RangeError} for codes or indices out of range, and for a context without a table. */
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
 * Decodes a block of `rowCount` rows to little-endian elements, row-major; with kind `I16` to its indices.
 * @throws {RangeError} when the bytes are malformed.
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
    throw new RangeError('malformed stream of indices');
  return out;
}

/** Returns the steps of a block's rows and of the columns, times their factors, each rounded to float32. */
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

/** Reads a block's row codes and splits off its raw bits and its stream, without decoding the indices. @throws {RangeError} when the bytes are malformed. */
export function openBlock(parameters: TensorParameters, bytes: Uint8Array, rowCount: number) {
  if (rowCount < 1 || rowCount > ROWS_PER_BLOCK)
    throw new RangeError(`expected a block of 1 to ${ROWS_PER_BLOCK} rows, found ${rowCount}`);
  const [codesLength, at] = readLength(bytes, 0);
  const [rawLength, codesStart] = readLength(bytes, at);
  const rawStart = codesStart + codesLength;
  const streamStart = rawStart + rawLength;
  if (streamStart > bytes.length)
    throw new RangeError(`a block of ${bytes.length} bytes is shorter than the lengths in it`);
  const arithmetic = new ArithmeticDecoder(bytes.subarray(codesStart, rawStart));
  const rows = codeCodes(arithmetic, rowCount, parameters.rowFactorRange > 0);
  arithmetic.finish();
  return { rows, raw: bytes.subarray(rawStart, streamStart), stream: bytes.subarray(streamStart) };
}

/** Encodes a length below 2^28: 7 bits per byte, least significant first; the top bit is set in all bytes but the last. */
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
  throw new RangeError('expected two lengths at the start of a block');
}
