import type { PackedWeights } from './tensor.js';

/** Attributes of a node that are integers, by name. */
type Integers = ReadonlyMap<string, number | undefined>;

/** Which input of a node holds weights of a few bits as bytes, how many bits, and the shape of the weights. */
interface Unpacking {
  readonly input: number;
  readonly bits: number;
  shape(integers: Integers): readonly (number | undefined)[];
}

/** Operators of onnxruntime that unpack weights. https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md */
const UNPACKING: Readonly<Record<string, Unpacking>> = {
  MatMulNBits: { input: 1, bits: 4, shape: (integers) => [integers.get('N'), integers.get('K')] },
  MatMulBnb4: { input: 1, bits: 4, shape: (integers) => [integers.get('N'), integers.get('K')] },
};

/** Returns the initializers that a node reads as weights of a few bits, by name. */
export function* packedBy(
  operator: string,
  inputs: readonly string[],
  integers: Integers,
): Generator<[name: string, packed: PackedWeights]> {
  const unpacking = Object.hasOwn(UNPACKING, operator) ? UNPACKING[operator] : undefined;
  const name = unpacking && inputs[unpacking.input];
  if (!unpacking || !name) return;
  const bits = integers.get('bits') ?? unpacking.bits;
  const shape = unpacking.shape(integers);
  const isCount = (value: number | undefined) => Number.isSafeInteger(value);
  const weights = shape.reduce<number>((product, dimension) => product * (dimension ?? Number.NaN), 1);
  if (shape.every(isCount) && isCount(weights) && bits >= 1 && bits <= 8)
    yield [name, { encoding: `${operator}, ${bits} bits`, shape: shape as number[] }];
}
