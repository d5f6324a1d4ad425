import type { Value, WeightOptions } from '../onnx/graph.js';
import { Graph } from '../onnx/graph.js';
import {
  type Attribute,
  type Dimension,
  type ElementType,
  type External,
  MICROSOFT,
  type ValueInfo,
} from '../onnx/proto.js';
import { type Bits, BLOCK, type Encoding } from './encoding.js';

/** The part of a weight that an initializer holds. */
export type Form = 'floats' | 'codes' | 'scales' | 'zeros';

/** A tensor of the ONNX file that is made of a weight. */
export interface Initializer {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly form: Form;
}

/** A weight of the model and how it is stored. */
export interface StoredWeight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly encoding: Encoding;
  /** Whether the file has rows where the checkpoint has columns. */
  readonly isTransposed: boolean;
  /** In the order of their bytes. */
  readonly initializers: readonly Initializer[];
}

/** What a graph knows of a weight while it is built. */
interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  stored?: StoredWeight;
}

/** The use of a weight that decides how it may be stored. */
export type Usage = 'matrix' | 'table' | 'other';

/**
 * The graph of a whole model. Builders of single layers write to it inside of a {@link scope}, which prefixes the names of their weights
 * and takes the place of their inputs and outputs. Weights are initializers, and operations are those that ONNX Runtime has
 * everywhere: Gemm, which takes matrices as checkpoints store them, and MatMulNBits for codes.
 */
export class ModelGraph extends Graph {
  private prefix = '';
  private given: ReadonlyMap<string, Value> = new Map();
  private taken = new Map<string, Value>();
  private readonly ownWeights = new Map<string, Weight>();
  private readonly floats = new Map<string, Value>();

  /** @param encodingOf decides how a weight is stored, by its name, shape and first use. */
  constructor(
    name: string,
    private readonly encodingOf: (name: string, shape: readonly number[], usage: Usage) => Encoding,
  ) {
    super(name);
  }

  /**
   * Runs a builder of a part of the model.
   * @param prefix of the names of its weights. @param given values in place of its inputs, by name.
   * @returns what it returns, and what it declares as outputs.
   */
  scope<Result>(
    prefix: string,
    given: Readonly<Record<string, Value>>,
    build: () => Result,
  ): { readonly result: Result; readonly outputs: ReadonlyMap<string, Value> } {
    this.prefix = prefix;
    this.given = new Map(Object.entries(given));
    const outputs = new Map<string, Value>();
    this.taken = outputs;
    const result = build();
    this.prefix = '';
    this.given = new Map();
    this.taken = new Map();
    return { result, outputs };
  }

  override input(name: string, shape: readonly Dimension[], type: ElementType = 'float32'): Value {
    return this.given.get(name) ?? super.input(name, shape, type);
  }

  /** Inside of a scope, hands a value to whoever opened it. */
  override output(name: string, value: Value, _: readonly Dimension[]): void {
    this.taken.set(name, value);
  }

  /** Declares an output of the model. */
  result(name: string, value: Value, shape: readonly Dimension[]): void {
    super.output(name, value, shape);
  }

  override weight(tensor: string, shape: readonly number[], { part, ofModel }: WeightOptions = {}): Value {
    const name = (ofModel ? '' : this.prefix) + (part ? `${tensor} ${part.index}` : tensor);
    if (!this.ownWeights.has(name)) this.ownWeights.set(name, { name, shape });
    return { name };
  }

  /** Adds a tensor that is no weight of the checkpoint, such as one of a dense layer after pooling. */
  tensor(name: string, shape: readonly number[]): Value {
    this.ownWeights.set(name, { name, shape });
    return { name };
  }

  override matmulTransposed(a: Value, b: Value, scale = 1): Value {
    const weight = this.ownWeights.get(b.name);
    if (weight) return this.product(a, weight, false);
    const product = super.matmul(a, this.transpose(b, [0, 1, 2, 4, 3])); // queries and keys, the only values without a weight
    return scale === 1 ? product : this.multiply(product, this.scalar(scale));
  }

  override matmul(a: Value, b: Value): Value {
    const weight = this.ownWeights.get(b.name);
    return weight ? this.product(a, weight, true) : super.matmul(a, b);
  }

  override gather(table: Value, indices: Value): Value {
    const weight = this.ownWeights.get(table.name);
    if (!weight) return super.gather(table, indices);
    const stored = this.store(weight, 'table', false);
    if ('float' in stored.encoding) {
      const rows = super.gather({ name: stored.initializers[0]!.name }, indices);
      return stored.encoding.float === 32 ? rows : this.cast(rows);
    }
    return this.decodedRows(stored, indices);
  }

  /** The weights in use and how they are stored, in order of first use. */
  get storedWeights(): readonly StoredWeight[] {
    return [...this.ownWeights.values()].flatMap(({ stored }) => stored ?? []);
  }

  /** The inputs that a user feeds, without initializers. */
  get modelInputs(): readonly ValueInfo[] {
    const initializers = new Set(
      this.storedWeights.flatMap((weight) => weight.initializers.map(({ name }) => name)),
    );
    return [...this.inputs.values()].filter(({ name }) => !initializers.has(name));
  }

  /** Returns the graph as an ONNX file. @param externals where the bytes of its initializers are. */
  toFile(externals: readonly External[]): Uint8Array {
    return this.encodeWith(externals);
  }

  /** Casts to float32. */
  cast(x: Value): Value {
    return this.operation('Cast', [x], { to: 1 });
  }

  protected override operations(
    operation: string,
    inputs: readonly Value[],
    outputCount: number,
    attributes: Readonly<Record<string, Attribute>>,
    domain = '',
  ): Value[] {
    const values = inputs.map((input) => this.asFloats(input));
    return super.operations(operation, values, outputCount, attributes, domain);
  }

  /** Returns a x b, or a x transposed(b) of a matrix whose rows are outputs. */
  private product(a: Value, weight: Weight, columns: boolean): Value {
    const stored = this.store(weight, 'matrix', columns);
    const [rows, inner] = weight.shape as [number, number];
    const [outputs, inputs] = columns ? [inner, rows] : [rows, inner];
    if ('bits' in stored.encoding) {
      const { bits } = stored.encoding;
      const { codes, decoding } = this.codeInputs(stored);
      const blocks = Math.ceil(inputs / BLOCK);
      const isTable = stored.initializers[0]!.shape.length === 2;
      const b = isTable ? this.reshape(codes, [outputs, blocks, (BLOCK * bits) / 8]) : codes;
      const given = isTable ? decoding.map((value) => this.reshape(value, [-1])) : decoding;
      const attributes = { K: inputs, N: outputs, bits, block_size: BLOCK, accuracy_level: 4 };
      return this.operation('MatMulNBits', [a, b, ...given], attributes, MICROSOFT);
    }
    const matrix = this.asFloats({ name: weight.name });
    if (columns) return super.matmul(a, matrix);
    const flat = this.operation('Gemm', [this.reshape(a, [-1, inputs]), matrix], { transB: 1 });
    const leading = this.operation('Shape', [a], { end: -1 });
    return this.operation('Reshape', [flat, this.concat([leading, this.integers([outputs])], 0)]);
  }

  /** Decodes rows of a table of 8-bit codes: ONNX Runtime's GatherBlockQuantized is not in its WebAssembly. */
  private decodedRows({ shape, initializers }: StoredWeight, indices: Value): Value {
    const [codes, scales] = initializers.map(({ name }) => this.operation('Gather', [{ name }, indices]));
    const blocks = shape[1]! / BLOCK;
    const centered = this.subtract(this.cast(codes!), this.scalar(128));
    const byBlock = this.reshape(centered, [0, 0, blocks, BLOCK]);
    const scale = this.reshape(this.cast(scales!), [0, 0, blocks, 1]);
    return this.reshape(this.multiply(byBlock, scale), [0, 0, shape[1]!]);
  }

  /** Returns a weight as float32; other values as they are. */
  private asFloats(value: Value): Value {
    const weight = this.ownWeights.get(value.name);
    if (!weight) return value;
    const stored = this.store(weight, 'other', false);
    const known = this.floats.get(weight.name);
    if (known) return known;
    const [initializer] = stored.initializers;
    if (initializer!.form !== 'floats')
      throw new Error(`${weight.name} is stored as codes and used otherwise`);
    const raw = { name: initializer!.name };
    const made = initializer!.type === 'float32' ? raw : this.cast(raw);
    this.floats.set(weight.name, made);
    return made;
  }

  /** Returns codes, and what they are decoded with: float32 scales, and the zero points of 4-bit codes. */
  private codeInputs({ initializers }: StoredWeight): { readonly codes: Value; readonly decoding: Value[] } {
    const [codes, scales, ...zeros] = initializers.map(({ name }) => ({ name })) as [
      Value,
      Value,
      ...Value[],
    ];
    const known = this.floats.get(scales.name) ?? this.cast(scales);
    this.floats.set(scales.name, known);
    return { codes, decoding: [known, ...zeros] };
  }

  /** Decides, at the first use of a weight, how it is stored. */
  private store(weight: Weight, usage: Usage, columns: boolean): StoredWeight {
    weight.stored ??= this.storedAs(weight, usage, columns);
    return weight.stored;
  }

  private storedAs({ name, shape }: Weight, usage: Usage, columns: boolean): StoredWeight {
    const encoding = this.encodingOf(name, shape, usage);
    const isTransposed = columns && 'bits' in encoding;
    const initializers =
      'bits' in encoding
        ? codeInitializers(name, isTransposed ? shape.toReversed() : shape, encoding.bits, usage === 'table')
        : [floatInitializer(name, shape, encoding.float)];
    for (const { name: own, shape: dimensions, type } of initializers) super.input(own, dimensions, type);
    return { name, shape, encoding, isTransposed, initializers };
  }
}

function floatInitializer(weight: string, shape: readonly number[], bits: 16 | 32): Initializer {
  const one = { shape, form: 'floats' } as const;
  return bits === 32
    ? { ...one, name: weight, type: 'float32' }
    : { ...one, name: `${weight}_fp16`, type: 'float16' };
}

/** Returns the tensors of a quantized matrix [rows, columns]; 4-bit codes have zero points, those of 8 bits are around 128. */
function codeInitializers(
  weight: string,
  shape: readonly number[],
  bits: Bits,
  isTable: boolean,
): Initializer[] {
  const [rows, columns] = shape as [number, number];
  const blocks = Math.ceil(columns / BLOCK);
  const codeBytes = (BLOCK * bits) / 8;
  const one = (form: Form, type: ElementType, length: number): Initializer => ({
    name: `${weight}_${form}`,
    type,
    shape: isTable ? [rows, length] : [rows * length],
    form,
  });
  const codes = one('codes', 'uint8', blocks * codeBytes);
  return [
    isTable ? codes : { ...codes, shape: [rows, blocks, codeBytes] },
    one('scales', 'float16', blocks),
    ...(bits === 4 ? [one('zeros', 'uint8', Math.ceil(blocks / 2))] : []),
  ];
}
