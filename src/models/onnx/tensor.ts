import { DTYPE_BYTES, type Dtype, elementCount } from '../../core/dtype.js';
import type { Field, FieldCursor } from './fields.js';

/** A tensor of an ONNX file. */
export interface OnnxTensor {
  readonly name: string;
  /** Its element type as safetensors names it, or as ONNX does where safetensors has none. */
  readonly type: string;
  /** The element type that its bytes can be read as; undefined for the others. */
  readonly dtype: Dtype | undefined;
  readonly shape: readonly number[];
  /** Bytes of its elements, in this file or the other one. */
  readonly lengthBytes: number;
  /** Where its elements begin in the file, little-endian; undefined where they are elsewhere, or coded one by one. */
  readonly start: number | undefined;
  /** The file beside this one that its elements are in. */
  readonly external: string | undefined;
}

/** Element types by their number in TensorProto.DataType: name, the same in safetensors, and bits of an element. */
const TYPES: Readonly<Record<number, readonly [name: string, dtype: Dtype | undefined, bits: number]>> = {
  ...Object.fromEntries(
    (
      [
        [1, 'F32'],
        [2, 'U8'],
        [3, 'I8'],
        [4, 'U16'],
        [5, 'I16'],
        [6, 'I32'],
        [7, 'I64'],
        [9, 'BOOL'],
        [10, 'F16'],
        [11, 'F64'],
        [12, 'U32'],
        [13, 'U64'],
        [16, 'BF16'],
        [17, 'F8_E4M3'],
        [19, 'F8_E5M2'],
      ] as const
    ).map(([number, dtype]) => [number, [dtype, dtype, 8 * DTYPE_BYTES[dtype]]]),
  ),
  8: ['STRING', undefined, 0],
  14: ['C64', undefined, 64],
  15: ['C128', undefined, 128],
  18: ['F8_E4M3FNUZ', undefined, 8],
  20: ['F8_E5M2FNUZ', undefined, 8],
  21: ['U4', undefined, 4],
  22: ['I4', undefined, 4],
  23: ['F4_E2M1', undefined, 4],
  24: ['F8_E8M0', undefined, 8],
};

/** Fields with little-endian elements, by the element type that has them: raw_data for all, float_data, double_data. */
const RAW_DATA = 9;
const PLAIN_DATA: Readonly<Record<number, Dtype>> = { 4: 'F32', 10: 'F64' };
const isData = (number: number) => number === RAW_DATA || number in PLAIN_DATA;
const MAX_DIMENSIONS = 64;

/** Reads a TensorProto without its elements. @throws {InputError} for a shape that is none. */
export async function readTensor(cursor: FieldCursor, end: number): Promise<OnnxTensor> {
  const shape: number[] = [];
  const data = new Map<number, Field & { readonly start: number }>();
  const places = new Map<string, string>();
  let [name, type, isExternal] = ['', 0, false];
  for await (const field of cursor.fields(end)) {
    const { number, delimited } = field;
    if (number === 1) shape.push(...(await cursor.integers(field, MAX_DIMENSIONS - shape.length)));
    else if (number === 2 && !delimited) type = await cursor.varint();
    else if (number === 8 && delimited) name = await cursor.text(field);
    else if (number === 13 && delimited) places.set(...(await cursor.entry(field)));
    else if (number === 14 && !delimited) isExternal = (await cursor.varint()) === 1;
    else if (delimited && isData(number) && !data.has(number))
      data.set(number, { ...field, start: cursor.position });
  }
  const [typeName, dtype, bits] = TYPES[type] ?? [`type ${type}`, undefined, 0];
  const lengthBytes = Math.ceil((elementCount(shape) * bits) / 8);
  if (![lengthBytes, ...shape].every(Number.isSafeInteger))
    cursor.fail(`tensor ${JSON.stringify(name.slice(0, 100))} has the shape [${shape}]`);
  const whole = [...data.values()].find(
    ({ number, start, end }) =>
      (number === RAW_DATA || PLAIN_DATA[number] === dtype) && end - start === lengthBytes,
  );
  return {
    name,
    type: typeName,
    dtype,
    shape,
    lengthBytes,
    start: isExternal ? undefined : whole?.start,
    external: isExternal ? (places.get('location') ?? 'another file') : undefined,
  };
}
