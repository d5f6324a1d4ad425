import type { ByteSource } from '../../core/byte-source.js';
import { FieldCursor } from './fields.js';
import { Graph } from './graph.js';
import type { OnnxTensor } from './tensor.js';

/** What is in an ONNX file, without its weights. */
export interface OnnxHeader {
  /** Texts that describe it, by name: producer, operator sets, `metadata_props`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Initializers of all graphs and tensors of their Constant nodes, in order of the file. Names are unique. */
  readonly tensors: readonly OnnxTensor[];
  /** Number of nodes by operator. */
  readonly operators: ReadonlyMap<string, number>;
}

/** Returns whether a file may be ONNX. It has no magic bytes, but begins with the version of its format, then the producer or graph. */
export function isOnnx([tag, version = 0, next = 0]: Uint8Array, name: string): boolean {
  return name.endsWith('.onnx') || (tag === 8 && version > 0 && version < 64 && [0x12, 0x3a].includes(next));
}

/**
 * Reads the header of an ONNX file by ranges: names, types, shapes and places of its tensors. Field numbers are those of
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
 * @throws {InputError} for what is not ONNX, and over the limits.
 */
export async function readOnnx(source: ByteSource): Promise<OnnxHeader> {
  const cursor = new FieldCursor(source);
  const metadata = new Map<string, string>();
  const graph = new Graph(cursor);
  let found = false;
  for await (const field of cursor.fields()) {
    if (field.number === 1 && !field.delimited) metadata.set('ir_version', `${await cursor.varint()}`);
    else if (!field.delimited) continue;
    else if (field.number === 2) metadata.set('producer_name', await cursor.text(field));
    else if (field.number === 3) metadata.set('producer_version', await cursor.text(field));
    else if (field.number === 6) metadata.set('doc_string', await cursor.text(field));
    else if (field.number === 7) {
      found = true;
      await graph.read(field.end);
    } else if (field.number === 8) metadata.set(...(await operatorSet(cursor, field.end)));
    else if (field.number === 14) metadata.set(...(await cursor.entry(field)));
    else if (field.number === 25) await graph.readFunction(field.end);
  }
  if (!found) cursor.fail('no graph in it (not an ONNX file?)');
  return { metadata, tensors: graph.namedTensors(), operators: graph.operators };
}

/** Reads an OperatorSetIdProto. */
async function operatorSet(cursor: FieldCursor, end: number): Promise<[string, string]> {
  let [domain, version] = ['', ''];
  for await (const field of cursor.fields(end))
    if (field.number === 1 && field.delimited) domain = await cursor.text(field);
    else if (field.number === 2 && !field.delimited) version = `${await cursor.varint()}`;
  return [`opset ${domain || 'ai.onnx'}`, version];
}
