import { BLOCK_PORTS } from '../forward/attention.js';
import { backward } from '../forward/onnx/gradient.js';
import type { Graph, Value } from '../forward/onnx/graph.js';
import { type Tap, tapsOf } from './taps.js';

/** Names of a backward graph's inputs and outputs beside those of its forward graph. */
export const BACKWARD_PORTS = {
  /** d(loss) / d(output): of a block's hidden states, of a head's logits. */
  cotangent: 'cotangent',
  /** d(loss) / d(input): of the hidden states before. */
  cotangentOut: 'cotangent_out',
} as const;

/** A sum over tokens of v v^T, [size, size]: an output of a graph, and the input that holds the sum over the tokens before. */
export interface Moment {
  readonly output: string;
  readonly before: string;
  readonly size: number;
}

/** The second moments on both sides of a matrix. */
export interface TapMoments {
  readonly tap: Tap;
  /** Of what goes in; undefined for an embedding, whose inputs are indices. Matrices that share their input share it. */
  readonly inputs: Moment | undefined;
  /** Of the gradient of what comes out; undefined where that is not asked for. */
  readonly outputs: Moment | undefined;
}

export interface BackwardOptions {
  /** What the cotangent belongs to: `hidden_out` or `logits`. The graph no longer gives it. */
  readonly output: string;
  /** Whether the graph begins at hidden states, whose cotangent it then gives. */
  readonly hidden: boolean;
  /** A matrix whose output gradients are too many. */
  readonly skipped?: string;
}

/** Makes a forward graph one that computes its gradient instead, and second moments on both sides of its matrices. */
export function addBackward(g: Graph, { output, hidden, skipped }: BackwardOptions): TapMoments[] {
  const taps = tapsOf(g);
  const differentiated = taps.filter(({ weight }) => weight !== skipped);
  const cotangent = g.input(BACKWARD_PORTS.cotangent, ['batch', 'sequence', 'features']);
  const wanted = [
    ...differentiated.map((tap) => tap.output),
    ...(hidden ? [{ name: BLOCK_PORTS.hidden }] : []),
  ];
  const gradients = backward(g, new Map([[output, cotangent]]), wanted);
  g.withdraw(output);
  if (hidden) g.output(BACKWARD_PORTS.cotangentOut, gradients.at(-1)!, ['batch', 'sequence', 'hidden']);
  const moments = new Map<string, Moment>();
  const moment = (value: Value, size: number): Moment => {
    if (!moments.has(value.name)) moments.set(value.name, addMoment(g, value, size, moments.size));
    return moments.get(value.name)!;
  };
  return taps.map((tap) => {
    const gradient = gradients[differentiated.indexOf(tap)];
    return {
      tap,
      inputs: tap.kind === 'linear' ? moment(tap.input, tap.inputSize) : undefined,
      outputs: gradient && moment(gradient, tap.outputSize),
    };
  });
}

/** x [batch, sequence, size]; the product and the sum are one operation. */
function addMoment(g: Graph, x: Value, size: number, index: number): Moment {
  const moment = { output: `moment_${index}`, before: `moment_${index}_before`, size };
  const rows = g.reshape(x, [-1, size]);
  const before = g.input(moment.before, [size, size]);
  g.output(moment.output, g.operation('Gemm', [rows, rows, before], { transA: 1 }), [size, size]);
  return moment;
}
