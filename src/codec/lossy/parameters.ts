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

const HEADER_BYTES = 12;

/** Parameters as bytes. @throws {RangeError} on one out of its bounds. */
export function writeParameters(parameters: TensorParameters): Uint8Array {
  checkParameters(parameters);
  const { columns, scale, rowFactorRange, columnFactorRange } = parameters;
  const coder = new ArithmeticEncoder();
  codeCodes(coder, columns.steps.length, columnFactorRange > 0, columns);
  const codes = coder.finish();
  const bytes = new Uint8Array(HEADER_BYTES + codes.length);
  const view = new DataView(bytes.buffer);
  [scale, rowFactorRange, columnFactorRange].forEach((value, i) => {
    view.setFloat32(i * 4, value, true);
  });
  bytes.set(codes, HEADER_BYTES);
  return bytes;
}

/** Reads the parameters of a tensor of so many columns. @throws {RangeError} on what is not within its bounds. */
export function readParameters(bytes: Uint8Array, columnCount: number): TensorParameters {
  if (bytes.length < HEADER_BYTES) throw new RangeError(`parameters of ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const coder = new ArithmeticDecoder(bytes.subarray(HEADER_BYTES));
  const columnFactorRange = view.getFloat32(8, true);
  const parameters = {
    scale: view.getFloat32(0, true),
    rowFactorRange: view.getFloat32(4, true),
    columnFactorRange,
    columns: codeCodes(coder, columnCount, columnFactorRange > 0),
  };
  coder.finish();
  checkParameters(parameters);
  return parameters;
}

function checkParameters({ scale, rowFactorRange, columnFactorRange }: TensorParameters): void {
  if (!(scale >= 2 ** -100 && scale <= 2 ** 100)) throw new RangeError(`a scale of ${scale}`);
  for (const range of [rowFactorRange, columnFactorRange])
    if (!(range >= 0 && range < 1)) throw new RangeError(`factors that range over ${range}`);
}
