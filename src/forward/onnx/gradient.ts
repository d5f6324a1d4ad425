import { InputError } from '../../errors.js';
import type { Graph, Value } from './graph.js';
import { type Attribute, MICROSOFT, type Node } from './model.js';

/** Cotangents by the name of the value they belong to: d(loss) / d(value). */
type Cotangents = Map<string, Value>;

/**
 * Appends to a graph what computes vector-Jacobian products: for a loss of which the cotangents of some values are given (`seeds`),
 * those of the `wanted` values, which lie before them. Reverse mode, an operation at a time; a rule for every operation that the
 * architectures' graphs use.
 * Shapes need not be known: activations are [batch, sequence, features], inside attention [batch, key heads, queries a key head,
 * sequence, features], and what is broadcast is a weight vector over features, one number a token, or keys over the queries that share them.
 * @throws {InputError} for an operation without a rule.
 */
export function backward(
  g: Graph,
  seeds: ReadonlyMap<string, Value>,
  wanted: readonly Value[],
): readonly Value[] {
  const nodes = g.operationNodes;
  const active = dependents(nodes, wanted);
  const cotangents: Cotangents = new Map(seeds);
  const add = (name: string, part: Value) => {
    const before = cotangents.get(name);
    cotangents.set(name, before ? g.add(before, part) : part);
  };
  for (const node of [...nodes].reverse()) {
    const given = node.outputs.map((name) => cotangents.get(name));
    if (!given.some((value) => value) || !node.inputs.some((name) => active.has(name))) continue;
    const rule = Object.hasOwn(RULES, node.operation) ? RULES[node.operation] : undefined;
    if (!rule) throw new InputError(`there is no gradient of ${node.operation}`);
    const parts = rule(new Step(g, node), given as Value[]);
    for (const [i, name] of node.inputs.entries()) if (active.has(name) && parts[i]) add(name, parts[i]!());
  }
  return wanted.map(({ name }) => {
    const found = cotangents.get(name);
    if (!found) throw new InputError(`the loss does not depend on ${name}`);
    return found;
  });
}

/** The values that depend on the wanted ones, these included. */
function dependents(nodes: readonly Node[], wanted: readonly Value[]): ReadonlySet<string> {
  const active = new Set(wanted.map(({ name }) => name));
  for (const { inputs, outputs } of nodes)
    if (inputs.some((name) => active.has(name))) for (const name of outputs) active.add(name);
  return active;
}

/** An operation whose gradient is taken, and shorthands for the graph. */
class Step {
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

  number(name: string, otherwise = 0): number {
    const value = this.attribute(name);
    return typeof value === 'object' && 'float' in value ? value.float : ((value as number) ?? otherwise);
  }

  /** A matrix of the checkpoint. */
  isMatrix({ name }: Value): boolean {
    return this.g.weightShape(name)?.length === 2;
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

  sum(x: Value, axes: readonly number[], keep: boolean): Value {
    return this.g.operation('ReduceSum', [x, this.g.integers(axes)], { keepdims: keep ? 1 : 0 });
  }

  mean(x: Value): Value {
    return this.g.operation('ReduceMean', [x, this.g.integers([-1])], { keepdims: 1 });
  }

  /** The cotangent of an operand that may be a vector over features: summed over all tokens then. */
  fit(cotangent: Value, { name }: Value): Value {
    return this.g.weightShape(name)?.length === 1 ? this.sum(cotangent, [0, 1], false) : cotangent;
  }

  product(a: Value, b: Value, { transA = 0, transB = 0, scale = 1 }): Value {
    const attributes = { transA, transB, alpha: { float: scale } };
    return this.g.operation('FusedMatMul', [a, b], attributes, MICROSOFT);
  }
}

/** For each input, in order, what computes its cotangent from those of the outputs; called only where it is wanted. */
type Rule = (step: Step, given: readonly Value[]) => readonly ((() => Value) | undefined)[];

/** y = f(x) element by element; the rule gives f'(x). */
const elementwise =
  (derivative: (step: Step, x: Value, y: Value) => Value): Rule =>
  (step, [g]) => [() => step.times(g!, derivative(step, step.inputs[0]!, step.outputs[0]!))];

const matmul: Rule = (step, [g]) => {
  const [a, b] = step.inputs as [Value, Value];
  const [transB, scale] = [step.number('transB'), step.number('alpha', 1)];
  return [
    () => step.product(g!, b, { transB: transB ? 0 : 1, scale }),
    () => {
      const whole = transB
        ? step.product(g!, a, { transA: 1, scale })
        : step.product(a, g!, { transA: 1, scale });
      return step.isMatrix(b) ? whole : step.sum(whole, [2], true); // keys are shared by the queries of their group
    },
  ];
};

const RULES: Readonly<Record<string, Rule>> = {
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
  // the divisor is one number a token
  Div: (step, [g]) => {
    const [a, b] = step.inputs as [Value, Value];
    const divide = (x: Value) => step.g.operation('Div', [x, b]);
    return [() => divide(g!), () => step.one('Neg', divide(step.sum(step.times(g!, divide(a)), [-1], true)))];
  },
  MatMul: matmul,
  FusedMatMul: matmul,
  ReduceMean: (step, [g]) => {
    const length = step.g.operation('Shape', [step.inputs[0]!], { start: -1 });
    return [() => step.g.operation('Div', [g!, step.g.operation('Cast', [length], { to: 1 })])];
  },
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
  Split: (step, given) => {
    const parts = given.map((part, i) => part ?? step.times(step.outputs[i]!, 0));
    return [() => step.g.concat(parts, step.number('axis'))];
  },
};

/** y = weight * z + bias, z = (x - mean) / deviation. */
function layerNormalization(step: Step, [g]: readonly Value[]): readonly (() => Value)[] {
  const [x, weight] = step.inputs as [Value, Value];
  const centred = step.g.subtract(x, step.mean(x));
  const variance = step.mean(step.times(centred, centred));
  const deviation = step.one('Sqrt', step.plus(variance, step.number('epsilon')));
  const z = step.g.operation('Div', [centred, deviation]);
  const direct = step.times(g!, weight);
  const along = step.times(z, step.mean(step.times(direct, z)));
  return [
    () =>
      step.g.operation('Div', [
        step.g.subtract(step.g.subtract(direct, step.mean(direct)), along),
        deviation,
      ]),
    () => step.sum(step.times(g!, z), [0, 1], false),
    () => step.sum(g!, [0, 1], false),
  ];
}
