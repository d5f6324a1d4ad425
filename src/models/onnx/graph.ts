import type { FieldCursor } from './fields.js';
import { packedBy } from './packed-nodes.js';
import { type OnnxTensor, type PackedWeights, readTensor } from './tensor.js';

// Limits far above real files.
const MAX_TENSORS = 262_144;
const MAX_NODES = 2_000_000;
/** Limit of graphs inside of nodes inside of graphs. */
const MAX_DEPTH = 16;

/** A name that no tensor gets, because safetensors uses it for metadata. */
const RESERVED = '__metadata__';

/** What an attribute of a node says. */
interface Attribute {
  readonly name: string;
  readonly integer: number | undefined;
  readonly tensor: OnnxTensor | undefined;
}

/** The graphs of a model: its main one, those inside of nodes (branches, loops), and functions. */
export class Graph {
  readonly operators = new Map<string, number>();
  private readonly tensors: OnnxTensor[] = [];
  private readonly packed = new Map<string, PackedWeights>();
  private nodes = 0;

  constructor(private readonly cursor: FieldCursor) {}

  /** Reads a GraphProto. */
  async read(end: number, depth = 0): Promise<void> {
    if (depth > MAX_DEPTH) this.cursor.fail(`graphs inside of graphs, over the limit of ${MAX_DEPTH}`);
    for await (const { number, delimited, end: fieldEnd } of this.cursor.fields(end)) {
      if (!delimited) continue;
      if (number === 1) await this.readNode(fieldEnd, depth);
      else if (number === 5) this.add(await readTensor(this.cursor, fieldEnd));
    }
  }

  /** Reads the nodes of a FunctionProto. */
  async readFunction(end: number): Promise<void> {
    for await (const { number, delimited, end: fieldEnd } of this.cursor.fields(end))
      if (number === 7 && delimited) await this.readNode(fieldEnd, 0);
  }

  /** Returns the tensors with unique names, and what nodes read in their bytes. */
  namedTensors(): OnnxTensor[] {
    const taken = new Set([RESERVED]);
    const counts = new Map<string, number>();
    return this.tensors.map((tensor) => {
      let name = tensor.name || 'tensor';
      for (let i = counts.get(tensor.name) ?? 1; taken.has(name); i++) {
        name = `${tensor.name || 'tensor'} (${i + 1})`;
        counts.set(tensor.name, i + 1);
      }
      taken.add(name);
      const packed = tensor.dtype === 'U8' ? this.packed.get(tensor.name) : undefined;
      return { ...tensor, name, ...(packed && { packed }) };
    });
  }

  private add(tensor: OnnxTensor): void {
    this.tensors.push(tensor);
    if (this.tensors.length > MAX_TENSORS) this.cursor.fail(`over the limit of ${MAX_TENSORS} tensors`);
  }

  /** Reads the operator of a NodeProto, the tensor of a Constant, and the graphs in it. */
  private async readNode(end: number, depth: number): Promise<void> {
    if (++this.nodes > MAX_NODES) this.cursor.fail(`over the limit of ${MAX_NODES} nodes`);
    let [operator, output] = ['', ''];
    const inputs: string[] = [];
    const attributes: Attribute[] = [];
    for await (const field of this.cursor.fields(end)) {
      if (!field.delimited) continue;
      if (field.number === 1) inputs.push(await this.cursor.text(field));
      else if (field.number === 2) output ||= await this.cursor.text(field);
      else if (field.number === 4) operator = await this.cursor.text(field);
      else if (field.number === 5) attributes.push(await this.readAttribute(field.end, depth));
    }
    this.operators.set(operator, (this.operators.get(operator) ?? 0) + 1);
    if (operator === 'Constant')
      for (const { tensor } of attributes) if (tensor) this.add({ ...tensor, name: output });
    const integers = new Map(attributes.map(({ name, integer }) => [name, integer]));
    for (const [name, packed] of packedBy(operator, inputs, integers)) this.packed.set(name, packed);
  }

  /** Reads an AttributeProto. The tensors of its graphs are added. */
  private async readAttribute(end: number, depth: number): Promise<Attribute> {
    let name = '';
    let integer: number | undefined;
    let tensor: OnnxTensor | undefined;
    for await (const field of this.cursor.fields(end)) {
      if (field.number === 3 && !field.delimited) integer = await this.cursor.varint();
      else if (!field.delimited) continue;
      else if (field.number === 1) name = await this.cursor.text(field);
      else if (field.number === 5) tensor = await readTensor(this.cursor, field.end);
      else if (field.number === 6 || field.number === 11) await this.read(field.end, depth + 1);
    }
    return { name, integer, tensor };
  }
}
