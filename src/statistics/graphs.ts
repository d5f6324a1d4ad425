import { BLOCK_PORTS } from '../forward/attention.js';
import { backward } from '../forward/onnx/gradient.js';
import type { Graph, Value } from '../forward/onnx/graph.js';
import { MICROSOFT } from '../forward/onnx/model.js';
import { type Tap, tapsOf } from './taps.js';

/** Names of a backward graph's inputs and outputs beside those of its forward graph. */
export const BACKWARD_PORTS = {
  /** d(loss) / d(output): of a block's hidden states, of a head's logits. */
  cotangent: 'cotangent',
  /** d(loss) / d(input): of the hidden states before. */
  cotangentOut: 'cotangent_out',
} as const;

/** The second moments that a backward graph gives, by the names of its outputs. */
export interface TapMoments {
  readonly tap: Tap;
  /** sum over tokens of x x^T; undefined for an embedding, whose inputs are indices. */
  readonly inputs: string | undefined;
  /** sum over tokens of g g^T; undefined where it was not asked for. */
  readonly outputs: string | undefined;
}

/**
 * Makes a forward graph one that also computes its gradient and the second moments of its matrices' inputs and output gradients.
 * @param output what the cotangent belongs to: `hidden_out` or `logits`. @param skipped a matrix whose output gradients are too many.
 */
export function addBackward(g: Graph, output: string, hasInput: boolean, skipped?: string): TapMoments[] {
  const taps = tapsOf(g);
  const gradients = taps.filter(({ weight }) => weight !== skipped);
  const hidden = { name: BLOCK_PORTS.hidden };
  const cotangent = g.input(BACKWARD_PORTS.cotangent, ['batch', 'sequence', 'features']);
  const wanted = [...gradients.map((tap) => tap.output), ...(hasInput ? [hidden] : [])];
  const found = backward(g, new Map([[output, cotangent]]), wanted);
  if (hasInput) g.output(BACKWARD_PORTS.cotangentOut, found.at(-1)!, ['batch', 'sequence', 'hidden']);
  const named = new Map<string, string>();
  const moment = (value: Value): string => {
    if (!named.has(value.name)) {
      const name = `moment_${named.size}`;
      g.output(name, secondMoment(g, value), ['n', 'n']);
      named.set(value.name, name);
    }
    return named.get(value.name)!;
  };
  return taps.map((tap) => {
    const gradient = found[gradients.indexOf(tap)];
    return {
      tap,
      inputs: tap.kind === 'linear' ? moment(tap.input) : undefined,
      outputs: gradient && tap.weight !== skipped ? moment(gradient) : undefined,
    };
  });
}

/** sum over tokens of x x^T, [features, features], of x [batch, sequence, features]. */
function secondMoment(g: Graph, x: Value): Value {
  const lastAxis = g.operation('Shape', [x], { start: -1 });
  const rows = g.operation('Reshape', [x, g.concat([g.integers([-1]), lastAxis], 0)]);
  return g.operation('FusedMatMul', [rows, rows], { transA: 1, alpha: { float: 1 } }, MICROSOFT);
}
