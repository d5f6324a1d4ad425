import type { ByteSource } from '../../core/byte-source.js';
import { FieldCursor } from './fields.js';
import { type OnnxTensor, readTensor } from './tensor.js';

/** What is in an ONNX file, without its weights. */
export interface OnnxHeader {
  /** Texts that describe it, by name: producer, operator sets, `metadata_props`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Initializers of the main graph and tensors of its Constant nodes, in order of the file. */
  readonly tensors: readonly OnnxTensor[];
  /** Number of nodes by operator. */
  readonly operators: ReadonlyMap<string, number>;
}

// Limits far above real files.
const MAX_TENSORS = 262_144;
const MAX_NODES = 2_000_000;

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
  for await (const field of cursor.fields()) {
    if (field.number === 1 && !field.delimited) metadata.set('ir_version', `${await cursor.varint()}`);
    else if (!field.delimited) continue;
    else if (field.number === 2) metadata.set('producer_name', await cursor.text(field));
    else if (field.number === 3) metadata.set('producer_version', await cursor.text(field));
    else if (field.number === 6) metadata.set('doc_string', await cursor.text(field));
    else if (field.number === 7) await graph.read(field.end);
    else if (field.number === 8) metadata.set(...(await operatorSet(cursor, field.end)));
    else if (field.number === 14) metadata.set(...(await cursor.entry(field)));
  }
  if (!graph.found) cursor.fail('no graph in it (not an ONNX file?)');
  return { metadata, tensors: graph.tensors, operators: graph.operators };
}

/** Reads an OperatorSetIdProto. */
async function operatorSet(cursor: FieldCursor, end: number): Promise<[string, string]> {
  let [domain, version] = ['', ''];
  for await (const field of cursor.fields(end))
    if (field.number === 1 && field.delimited) domain = await cursor.text(field);
    else if (field.number === 2 && !field.delimited) version = `${await cursor.varint()}`;
  return [`opset ${domain || 'ai.onnx'}`, version];
}

/** The main graph. Graphs inside of its nodes (branches, loops) are not read. */
class Graph {
  found = false;
  readonly tensors: OnnxTensor[] = [];
  readonly operators = new Map<string, number>();
  private nodes = 0;

  constructor(private readonly cursor: FieldCursor) {}

  /** Reads a GraphProto. */
  async read(end: number): Promise<void> {
    this.found = true;
    for await (const { number, delimited, end: fieldEnd } of this.cursor.fields(end)) {
      if (!delimited) continue;
      if (number === 1) await this.readNode(fieldEnd);
      else if (number === 5) this.add(await readTensor(this.cursor, fieldEnd));
    }
  }

  private add(tensor: OnnxTensor): void {
    this.tensors.push(tensor);
    if (this.tensors.length > MAX_TENSORS) this.cursor.fail(`over the limit of ${MAX_TENSORS} tensors`);
  }

  /** Reads the operator of a NodeProto, and the tensor of a Constant. */
  private async readNode(end: number): Promise<void> {
    if (++this.nodes > MAX_NODES) this.cursor.fail(`over the limit of ${MAX_NODES} nodes`);
    let [operator, output] = ['', ''];
    for await (const field of this.cursor.fields(end)) {
      if (!field.delimited) continue;
      if (field.number === 2) output ||= await this.cursor.text(field);
      else if (field.number === 4) operator = await this.cursor.text(field);
      else if (field.number === 5 && operator === 'Constant') await this.readAttribute(field.end, output);
    }
    this.operators.set(operator, (this.operators.get(operator) ?? 0) + 1);
  }

  /** Reads the tensor of an AttributeProto, if it has one. */
  private async readAttribute(end: number, output: string): Promise<void> {
    for await (const { number, delimited, end: fieldEnd } of this.cursor.fields(end))
      if (number === 5 && delimited) this.add({ ...(await readTensor(this.cursor, fieldEnd)), name: output });
  }
}
