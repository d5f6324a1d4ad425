import { DTYPE_BYTES, type Dtype, elementCount, PAIRS } from '../../core/dtype.js';
import type { EncodedTensor } from '../../core/model.js';
import type { Field, FieldCursor } from './fields.js';

/** A tensor of an ONNX file. */
export interface OnnxTensor {
  /** Its name in the file, with a number if an earlier tensor has the same one. */
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
  /** Where its elements are coded one by one, as integers of varying length. */
  readonly coded: CodedElements | undefined;
  /** Where its elements are in a file beside this one. */
  readonly external: ExternalElements | undefined;
  /** The weights that its bytes hold, if a node reads them as such: those of a matrix in 4 bits. */
  readonly packed?: PackedWeights | undefined;
}

/** Elements that are integers of varying length, in one range of the file. */
export interface CodedElements {
  readonly start: number;
  readonly end: number;
}

/** A range of a file beside an ONNX file. */
export interface ExternalElements {
  /** The other file, as the ONNX file writes it. */
  readonly location: string;
  /** Where they begin in it, and their bytes; undefined for what is no number. */
  readonly offset: number | undefined;
  readonly lengthBytes: number | undefined;
}

/** Weights that a node unpacks. */
export interface PackedWeights {
  /** The operator and bits per weight. */
  readonly encoding: string;
  readonly shape: readonly number[];
}

/** Elements as they can be stored: of a known type, whose bytes are those of the tensor. */
export interface PlainElements {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly holds?: EncodedTensor;
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
  25: ['U2', undefined, 2],
  26: ['I2', undefined, 2],
};

const RAW_DATA = 9;
/** Fields with little-endian elements, by the types that have them: float_data, double_data. */
const PLAIN_DATA: Readonly<Record<number, readonly string[]>> = { 4: ['F32', 'C64'], 10: ['F64', 'C128'] };
/** Fields with elements of varying length: int32_data, int64_data, uint64_data. */
const CODED_DATA: Readonly<Record<number, (type: string) => boolean>> = {
  5: (type) => !/^(STRING|[FC](32|64|128)|[IU]64|U32)$/.test(type),
  7: (type) => type === 'I64',
  11: (type) => type === 'U32' || type === 'U64',
};
const isData = (number: number) => number === RAW_DATA || number in PLAIN_DATA || number in CODED_DATA;
const MAX_DIMENSIONS = 64;

type Range = Field & { readonly start: number };

/** Reads a TensorProto without its elements. @throws {InputError} for a shape that is none. */
export async function readTensor(cursor: FieldCursor, end: number): Promise<OnnxTensor> {
  const shape: number[] = [];
  const data = new Map<number, Range[]>();
  const places = new Map<string, string>();
  let [name, type, isExternal] = ['', 0, false];
  for await (const field of cursor.fields(end)) {
    const { number, delimited } = field;
    if (number === 1) shape.push(...(await cursor.integers(field, MAX_DIMENSIONS - shape.length)));
    else if (number === 2 && !delimited) type = await cursor.varint();
    else if (number === 8 && delimited) name = await cursor.text(field);
    else if (number === 13 && delimited && places.size < MAX_PLACES)
      places.set(...(await cursor.entry(field)));
    else if (number === 14 && !delimited) isExternal = (await cursor.varint()) === 1;
    else if (delimited && isData(number)) addRange(data, { ...field, start: cursor.position });
  }
  const [typeName, dtype, bits] = TYPES[type] ?? [`type ${type}`, undefined, 0];
  const lengthBytes = Math.ceil((elementCount(shape) * bits) / 8);
  if (![lengthBytes, ...shape].every(Number.isSafeInteger))
    cursor.fail(`tensor ${JSON.stringify(name.slice(0, 100))} has the shape [${shape}]`);
  const whole = (range: Range) => range.end - range.start === lengthBytes;
  const inFile = isExternal ? [] : [...data.values()].flatMap((ranges) => (ranges.length > 1 ? [] : ranges));
  return {
    name,
    type: typeName,
    dtype,
    shape,
    lengthBytes,
    start: inFile.find(
      (range) => whole(range) && (range.number === RAW_DATA || PLAIN_DATA[range.number]?.includes(typeName)),
    )?.start,
    coded: inFile.find(({ number }) => CODED_DATA[number]?.(typeName)),
    external: isExternal ? externalOf(places, lengthBytes) : undefined,
  };
}

/** Entries of external_data that are read: location, offset, length, checksum, and room for new ones. */
const MAX_PLACES = 16;

/** Adds a range; of raw_data the last one counts, while parts of the other fields follow each other. */
function addRange(data: Map<number, Range[]>, range: Range): void {
  const before = range.number === RAW_DATA ? [] : (data.get(range.number) ?? []);
  // more than two parts are no more one range than two are
  data.set(range.number, [...before.slice(0, 1), range]);
}

function externalOf(places: ReadonlyMap<string, string>, lengthBytes: number): ExternalElements {
  const number = (key: string, missing: number) => {
    const text = places.get(key);
    if (text === undefined) return missing;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    return Number.isSafeInteger(value) ? value : undefined;
  };
  return {
    location: places.get('location') ?? '',
    offset: number('offset', 0),
    lengthBytes: number('length', lengthBytes),
  };
}

/**
 * Returns the elements of a tensor as a type that can be stored: complex numbers as pairs of floats, types without a codec as bytes;
 * undefined for texts and unknown types.
 */
export function plainElements(tensor: OnnxTensor): PlainElements | undefined {
  const { name, type, dtype, shape, lengthBytes, packed } = tensor;
  const holds = (encoding: string, weights = shape) =>
    ({ name, dtype: 'U8', shape: weights, lengthBytes, encoding }) as const;
  if (dtype) return { dtype, shape, ...(packed && { holds: holds(packed.encoding, packed.shape) }) };
  const pair = Object.hasOwn(PAIRS, type) ? PAIRS[type] : undefined;
  if (pair) return { dtype: pair, shape: [...shape, 2], holds: holds(type) };
  if (!KNOWN.has(type)) return undefined;
  return { dtype: 'U8', shape: [lengthBytes], holds: holds(type) };
}

/** Types whose elements have a fixed number of bits. */
const KNOWN = new Set(Object.values(TYPES).flatMap(([name, , bits]) => (bits ? [name] : [])));
