import { ArithmeticDecoder, ArithmeticEncoder } from './arithmetic.js';
import { type Codes, codeCodes } from './codes.js';

/** What the blocks of a tensor share. */
export interface TensorParameters {
  /** Of all steps: columns carry it. A positive float32, between 2^-100 and 2^100. */
  readonly scale: number;
  /** How far factors of rows, and of columns, may lie from 1: a float32 of at least 0 and below 1. 0: there are none. */
  readonly rowFactorRange: number;
  readonly columnFactorRange: number;
  readonly columns: Codes;
}

/** Wider tensors cannot be coded: a block's kernel takes 24 bytes a column. */
export const COLUMN_LIMIT = 1 << 22;

const HEADER_BYTES = 12;

/** Parameters as bytes. @throws {RangeError} on one out of its bounds. */
export function writeParameters(parameters: TensorParameters): Uint8Array {
  const { columns, columnFactorRange } = parameters;
  const header = [parameters.scale, parameters.rowFactorRange, columnFactorRange] as const;
  checkHeader(header, columns.steps.length);
  const coder = new ArithmeticEncoder();
  codeCodes(coder, columns.steps.length, columnFactorRange > 0, columns);
  const codes = coder.finish();
  const bytes = new Uint8Array(HEADER_BYTES + codes.length);
  const view = new DataView(bytes.buffer);
  header.forEach((value, i) => {
    view.setFloat32(i * 4, value, true);
  });
  bytes.set(codes, HEADER_BYTES);
  return bytes;
}

/** Reads the parameters of a tensor of so many columns. @throws {RangeError} on what is not within its bounds. */
export function readParameters(bytes: Uint8Array, columnCount: number): TensorParameters {
  if (bytes.length < HEADER_BYTES) throw new RangeError(`parameters of ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const header = [view.getFloat32(0, true), view.getFloat32(4, true), view.getFloat32(8, true)] as const;
  checkHeader(header, columnCount);
  const [scale, rowFactorRange, columnFactorRange] = header;
  const coder = new ArithmeticDecoder(bytes.subarray(HEADER_BYTES));
  const columns = codeCodes(coder, columnCount, columnFactorRange > 0);
  coder.finish();
  return { scale, rowFactorRange, columnFactorRange, columns };
}

function checkHeader([scale, ...ranges]: readonly [number, number, number], columnCount: number): void {
  if (columnCount < 1 || columnCount > COLUMN_LIMIT)
    throw new RangeError(`${columnCount} columns, not 1 to ${COLUMN_LIMIT}`);
  if (!(scale >= 2 ** -100 && scale <= 2 ** 100) || Math.fround(scale) !== scale)
    throw new RangeError(`a scale of ${scale}, not a float32 from 2^-100 to 2^100`);
  for (const range of ranges)
    if (!(range >= 0 && range < 1) || Math.fround(range) !== range)
      throw new RangeError(`factors that range over ${range}, not a float32 from 0 to below 1`);
}
