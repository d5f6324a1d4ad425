import type { Graph, Value } from './graph.js';
import { type Attribute, MICROSOFT, type Node } from './proto.js';

// The rules need no shapes: activations are [batch, sequence, features], inside attention [batch, key heads, queries per key head,
// sequence, features]. Broadcast operands are weight vectors over features, one number per token, or keys over grouped queries.

/** An operation to differentiate, with shorthands for building the graph. */
export class Step {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];

  constructor(
    readonly g: Graph,
    readonly node: Node,
  ) {
    this.inputs = node.inputs.map((name) => ({ name }));
    this.outputs = node.outputs.map((name) => ({ name }));
  }

  attribute(name: string): Attribute | undefined {
    return this.node.attributes[name];
  }

  number(name: string, fallback = 0): number {
    const value = this.attribute(name);
    return typeof value === 'object' && 'float' in value ? value.float : ((value as number) ?? fallback);
  }

  /** Returns whether a value is a matrix of the checkpoint. */
  isMatrix({ name }: Value): boolean {
    return this.g.weightShape(name)?.length === 2;
  }

  /** Reshapes [..., features] to a matrix [rows, features]. */
  rows(x: Value): Value {
    const features = this.g.operation('Shape', [x], { start: -1 });
    return this.g.operation('Reshape', [x, this.g.concat([this.g.integers([-1]), features], 0)]);
  }

  one(operation: string, x: Value): Value {
    return this.g.operation(operation, [x]);
  }

  times(a: Value, b: Value | number): Value {
    return this.g.multiply(a, typeof b === 'number' ? this.g.scalar(b) : b);
  }

  plus(a: Value, b: Value | number): Value {
    return this.g.add(a, typeof b === 'number' ? this.g.scalar(b) : b);
  }

  sum(x: Value, axes: readonly number[], keepDimensions: boolean): Value {
    return this.g.operation('ReduceSum', [x, this.g.integers(axes)], { keepdims: keepDimensions ? 1 : 0 });
  }

  mean(x: Value): Value {
    return this.g.operation('ReduceMean', [x, this.g.integers([-1])], { keepdims: 1 });
  }

  /** Returns the cotangent of an operand, summed over all tokens if the operand is a vector over features. */
  fit(cotangent: Value, { name }: Value): Value {
    return this.g.weightShape(name)?.length === 1 ? this.sum(this.rows(cotangent), [0], false) : cotangent;
  }

  constants(input: number): readonly number[] {
    return this.g.constantOf(this.node.inputs[input]!)!;
  }

  product(a: Value, b: Value, { transA = 0, transB = 0, scale = 1 }): Value {
    const attributes = { transA, transB, alpha: { float: scale } };
    return this.g.operation('FusedMatMul', [a, b], attributes, MICROSOFT);
  }
}

/** Returns, for each input in order, a function that computes its cotangent from those of the outputs; called only if needed. */
type Rule = (step: Step, given: readonly Value[]) => readonly ((() => Value) | undefined)[];

/** Returns the rule of an elementwise y = f(x) from f'(x). */
const elementwise =
  (derivative: (step: Step, x: Value, y: Value) => Value): Rule =>
  (step, [g]) => [() => step.times(g!, derivative(step, step.inputs[0]!, step.outputs[0]!))];

const matmul: Rule = (step, [g]) => {
  const [a, b] = step.inputs as [Value, Value];
  const [transB, scale] = [step.number('transB'), step.number('alpha', 1)];
  return [
    () => step.product(g!, b, { transB: transB ? 0 : 1, scale }),
    () => {
      const flat = step.isMatrix(b) ? (x: Value) => step.rows(x) : (x: Value) => x;
      const pair = transB ? ([g!, a] as const) : ([a, g!] as const);
      const whole = step.product(flat(pair[0]), flat(pair[1]), { transA: 1, scale });
      return step.isMatrix(b) ? whole : step.sum(whole, [2], true); // grouped queries share keys
    },
  ];
};

export const RULES: Readonly<Record<string, Rule>> = {
  Identity: (_, [g]) => [() => g!],
  Add: (step, [g]) => step.inputs.map((operand) => () => step.fit(g!, operand)),
  Sub: (step, [g]) => [
    () => step.fit(g!, step.inputs[0]!),
    () => step.one('Neg', step.fit(g!, step.inputs[1]!)),
  ],
  Mul: (step, [g]) => {
    const [a, b] = step.inputs as [Value, Value];
    return [() => step.fit(step.times(g!, b), a), () => step.fit(step.times(g!, a), b)];
  },
  // the divisor is one number per token
  Div: (step, [g]) => {
    const [a, b] = step.inputs as [Value, Value];
    const divide = (x: Value) => step.g.operation('Div', [x, b]);
    return [() => divide(g!), () => step.one('Neg', divide(step.sum(step.times(g!, divide(a)), [-1], true)))];
  },
  MatMul: matmul,
  FusedMatMul: matmul,
  ReduceMean: (step, [g]) => {
    const x = step.inputs[0]!;
    const length = step.g.operation('Cast', [step.g.operation('Shape', [x], { start: -1 })], { to: 1 });
    return [
      () =>
        step.g.operation('Expand', [step.g.operation('Div', [g!, length]), step.g.operation('Shape', [x])]),
    ];
  },
  ReduceSum: (step, [g]) => [() => step.g.operation('Expand', [g!, step.one('Shape', step.inputs[0]!)])],
  // equal largest values all get the cotangent
  ReduceMax: (step, [g]) => [() => step.times(unchanged(step, step.inputs[0]!, step.outputs[0]!), g!)],
  Sqrt: elementwise((step, _, y) => step.g.operation('Div', [step.g.scalar(0.5), y])),
  LayerNormalization: layerNormalization,
  Softmax: (step, [g]) => {
    const y = step.outputs[0]!;
    return [() => step.times(y, step.g.subtract(g!, step.sum(step.times(g!, y), [-1], true)))];
  },
  Sigmoid: elementwise((step, _, y) => step.times(y, step.plus(step.times(y, -1), 1))),
  Tanh: elementwise((step, _, y) => step.plus(step.times(step.times(y, y), -1), 1)),
  Relu: elementwise((step, _, y) => step.one('Sign', y)),
  Gelu: elementwise((step, x) => {
    const density = step.times(
      step.one('Exp', step.times(step.times(x, x), -0.5)),
      1 / Math.sqrt(2 * Math.PI),
    );
    const cumulative = step.times(step.plus(step.one('Erf', step.times(x, Math.SQRT1_2)), 1), 0.5);
    return step.plus(cumulative, step.times(x, density));
  }),
  FastGelu: elementwise((step, x) => {
    const [a, b] = [Math.sqrt(2 / Math.PI), 0.044715];
    const square = step.times(x, x);
    const t = step.one('Tanh', step.times(x, step.plus(step.times(square, a * b), a)));
    const slope = step.times(
      step.plus(step.times(step.times(t, t), -1), 1),
      step.plus(step.times(square, 3 * a * b), a),
    );
    return step.times(step.plus(step.plus(t, step.times(x, slope)), 1), 0.5);
  }),
  Reshape: (step, [g]) => [() => step.g.operation('Reshape', [g!, step.one('Shape', step.inputs[0]!)])],
  Transpose: (step, [g]) => {
    const forward = step.attribute('perm') as readonly number[];
    return [
      () =>
        step.g.transpose(
          g!,
          forward.map((_, axis) => forward.indexOf(axis)),
        ),
    ];
  },
  Concat: (step, [g]) => {
    const axis = step.number('axis');
    const lengths = step.inputs.map((part) =>
      step.g.operation('Shape', [part], { start: axis, end: axis + 1 }),
    );
    const parts = step.g.splitBy(g!, step.g.concat(lengths, 0), lengths.length, axis);
    return parts.map((part) => () => part);
  },
  Slice: (step, [g]) => {
    const [start] = step.constants(1) as [number];
    const [axis] = step.constants(3) as [number];
    return [
      () => {
        const lengthOf = (x: Value) =>
          step.g.operation('Shape', [x], axis === -1 ? { start: -1 } : { start: axis, end: axis + 1 });
        const before = step.g.integers([start]);
        const after = step.g.subtract(lengthOf(step.inputs[0]!), step.g.add(lengthOf(g!), before));
        const zeros = step.g.concat([before, after], 0);
        return step.g.operation('Pad', [g!, zeros, { name: '' }, step.g.integers([axis])]);
      },
    ];
  },
  // zeros before the start of one axis
  Pad: (step, [g]) => [
    () => step.g.slice(g!, step.constants(1)[0]!, Number.MAX_SAFE_INTEGER, step.constants(3)[0]!),
  ],
  Expand: (step, [g]) => [() => step.sum(g!, step.g.axesOf(step.outputs[0]!.name), true)],
  GatherElements: (step, [g]) => [
    () => {
      const [x, indices] = step.inputs as [Value, Value];
      return step.g.operation('ScatterElements', [step.times(x, 0), indices, g!], { axis: 1 });
    },
  ],
  // different elements of zeros are set
  ScatterElements: (step, [g]) => [
    undefined,
    undefined,
    () => step.g.operation('GatherElements', [g!, step.inputs[1]!], { axis: 1 }),
  ],
  // rows are added
  ScatterND: (step, [g]) => [() => g!, undefined, () => step.g.operation('GatherND', [g!, step.inputs[1]!])],
  Clip: bounded,
  Min: bounded,
  Gather: gather,
  Split: (step, given) => {
    const parts = given.map((part, i) => part ?? step.times(step.outputs[i]!, 0));
    return [() => step.g.concat(parts, step.number('axis'))];
  },
};

/** Rule of bounds: a value has a gradient where they left it as it was. */
function bounded(step: Step, [g]: readonly Value[]): readonly (() => Value)[] {
  return [() => step.times(g!, unchanged(step, step.inputs[0]!, step.outputs[0]!))];
}

/** Returns 1 where two values are the same, else 0. */
function unchanged(step: Step, x: Value, y: Value): Value {
  return step.g.operation('Cast', [step.g.operation('Equal', [x, y])], { to: 1 });
}

/** Rule of a table lookup, shared by all sequences or one per sequence: each lookup adds its cotangent to its row. */
function gather(step: Step, [g]: readonly Value[]): readonly (() => Value)[] {
  const [table, indices] = step.inputs as [Value, Value];
  return [
    () => {
      const tokens = step.g.operation('Shape', [g!], { end: -1 });
      const rows = step.g.operation('Unsqueeze', [
        step.g.operation('Expand', [indices, tokens]),
        step.g.integers([-1]),
      ]);
      return step.g.operation('ScatterND', [step.times(table, 0), rows, g!], { reduction: 'add' });
    },
  ];
}

/** Rule of y = weight * z + bias with z = (x - mean) / deviation. */
function layerNormalization(step: Step, [g]: readonly Value[]): readonly (() => Value)[] {
  const [x, weight] = step.inputs as [Value, Value];
  const centered = step.g.subtract(x, step.mean(x));
  const variance = step.mean(step.times(centered, centered));
  const deviation = step.one('Sqrt', step.plus(variance, step.number('epsilon')));
  const z = step.g.operation('Div', [centered, deviation]);
  const direct = step.times(g!, weight);
  const along = step.times(z, step.mean(step.times(direct, z)));
  return [
    () =>
      step.g.operation('Div', [
        step.g.subtract(step.g.subtract(direct, step.mean(direct)), along),
        deviation,
      ]),
    () => step.sum(step.rows(step.times(g!, z)), [0], false),
    () => step.sum(step.rows(g!), [0], false),
  ];
}
