import { MessageWriter } from './protobuf.js';

/** Element types of ONNX tensors (TensorProto.DataType) that are used here. */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int64: 7, float16: 10 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

/** A dimension of an input: a length, or a name for a dynamic one. */
export type Dimension = number | string;

/** An input or output of a graph. */
export interface ValueInfo {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly Dimension[];
}

/** An output of a graph, whose shape may be unknown before it runs. */
export type OutputInfo = Omit<ValueInfo, 'shape'> & { readonly shape: ValueInfo['shape'] | undefined };

/** An operation. An input `''` is an omitted optional input. */
export interface Node {
  readonly operation: string;
  /** Operator domain; `''` for ONNX's own. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** An attribute of an operation. Numbers are integers unless wrapped as `{ float }`. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** A constant inside a graph. */
export interface Constant extends ValueInfo {
  readonly type: 'float32' | 'int64';
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** A tensor whose bytes are in another file. */
export interface External extends ValueInfo {
  readonly shape: readonly number[];
  /** The file's name, relative to the ONNX file. */
  readonly location: string;
  /** The first byte. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** The content of an ONNX file with one graph. */
export interface GraphParts {
  readonly name: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly OutputInfo[];
  readonly constants: readonly Constant[];
  readonly externals: readonly External[];
  readonly nodes: readonly Node[];
}

/** Domain of ONNX Runtime's contrib operators, available in Node and in browsers. */
export const MICROSOFT = 'com.microsoft';

const IR_VERSION = 9;
/** Operator set version, the first with Gelu. */
const OPSET = 20;

/**
 * Returns the bytes of an ONNX model: a ModelProto with one GraphProto. For field numbers see
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
 */
export function encodeModel(graph: GraphParts): Uint8Array {
  return new MessageWriter()
    .integer(1, IR_VERSION)
    .bytes(2, 'weightpress')
    .bytes(7, encodeGraph(graph))
    .bytes(8, new MessageWriter().bytes(1, '').integer(2, OPSET))
    .bytes(8, new MessageWriter().bytes(1, MICROSOFT).integer(2, 1))
    .finish();
}

function encodeGraph({ name, inputs, outputs, constants, externals, nodes }: GraphParts): MessageWriter {
  const message = new MessageWriter();
  for (const node of nodes) message.bytes(1, encodeNode(node));
  message.bytes(2, name);
  for (const constant of constants) message.bytes(5, encodeConstant(constant));
  for (const external of externals) message.bytes(5, encodeExternal(external));
  for (const input of inputs) message.bytes(11, encodeValueInfo(input));
  for (const output of outputs) message.bytes(12, encodeValueInfo(output));
  return message;
}

function encodeNode({ operation, domain, inputs, outputs, attributes }: Node): MessageWriter {
  const message = new MessageWriter();
  for (const input of inputs) message.bytes(1, input);
  for (const output of outputs) message.bytes(2, output);
  message.bytes(4, operation);
  for (const [name, value] of Object.entries(attributes)) message.bytes(5, encodeAttribute(name, value));
  return domain ? message.bytes(7, domain) : message;
}

/** Encodes an AttributeProto. Its last field, 20, is the type, which selects the value field. */
function encodeAttribute(name: string, value: Attribute): MessageWriter {
  const message = new MessageWriter().bytes(1, name);
  if (typeof value === 'number') return message.integer(3, value).integer(20, 2);
  if (typeof value === 'string') return message.bytes(4, value).integer(20, 3);
  if ('float' in value) return message.float(2, value.float).integer(20, 1);
  for (const item of value) message.integer(8, item);
  return message.integer(20, 7);
}

function encodeConstant({ name, type, shape, values }: Constant): MessageWriter {
  const message = new MessageWriter();
  for (const length of shape) message.integer(1, length);
  const data = type === 'int64' ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
  return message.integer(2, ELEMENT_TYPES[type]).bytes(8, name).bytes(9, new Uint8Array(data.buffer));
}

/** Encodes a TensorProto with external data: field 14 is the location type, field 13 the location. */
function encodeExternal({ name, type, shape, location, offset, length }: External): MessageWriter {
  const message = new MessageWriter();
  for (const length of shape) message.integer(1, length);
  message.integer(2, ELEMENT_TYPES[type]).bytes(8, name);
  for (const [key, value] of Object.entries({ location, offset, length }))
    message.bytes(13, new MessageWriter().bytes(1, key).bytes(2, String(value)));
  return message.integer(14, 1);
}

function encodeValueInfo({ name, type, shape }: OutputInfo): MessageWriter {
  const tensor = new MessageWriter().integer(1, ELEMENT_TYPES[type]);
  if (shape) tensor.bytes(2, encodeShape(shape));
  return new MessageWriter().bytes(1, name).bytes(2, new MessageWriter().bytes(1, tensor));
}

function encodeShape(shape: readonly Dimension[]): MessageWriter {
  const dimensions = new MessageWriter();
  for (const length of shape) {
    const dimension = new MessageWriter();
    if (typeof length === 'number') dimension.integer(1, length);
    else dimension.bytes(2, length);
    dimensions.bytes(1, dimension);
  }
  return dimensions;
}
