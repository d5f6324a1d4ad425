import { ArithmeticDecoder, ArithmeticEncoder } from './arithmetic.js';
import { type Codes, codeCodes } from './codes.js';

/** Parameters shared by the blocks of a tensor. */
export interface TensorParameters {
  /** Scale of all steps, applied to the columns. A positive float32, between 2^-100 and 2^100. */
  readonly scale: number;
  /** Maximum distance of the rows' factors from 1, and of the columns': a float32 of at least 0 and below 1. 0: no factors. */
  readonly rowFactorRange: number;
  readonly columnFactorRange: number;
  readonly columns: Codes;
}

/** Maximum number of columns: the kernel needs 24 bytes per column. */
export const COLUMN_LIMIT = 1 << 22;

const HEADER_BYTES = 12;

/** Serializes parameters. @throws {RangeError} for a value out of range. */
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

/** Reads the parameters of a tensor of `columnCount` columns. @throws {RangeError} for a value out of range. */
export function readParameters(bytes: Uint8Array, columnCount: number): TensorParameters {
  if (bytes.length < HEADER_BYTES)
    throw new RangeError(`expected at least ${HEADER_BYTES} bytes of parameters, found ${bytes.length}`);
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
    throw new RangeError(`expected 1 to ${COLUMN_LIMIT} columns, found ${columnCount}`);
  if (!(scale >= 2 ** -100 && scale <= 2 ** 100) || Math.fround(scale) !== scale)
    throw new RangeError(`expected a scale in float32 from 2^-100 to 2^100, found ${scale}`);
  for (const range of ranges)
    if (!(range >= 0 && range < 1) || Math.fround(range) !== range)
      throw new RangeError(`expected a factor range in float32 from 0 to below 1, found ${range}`);
}
