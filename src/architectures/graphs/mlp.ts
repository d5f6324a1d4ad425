import { findActivation } from '../../onnx/activations.js';
import type { Value } from '../../onnx/graph.js';
import type { Mlp } from '../settings.js';
import type { Slot } from '../slots.js';
import type { Tensors } from './tensors.js';

/** The slots of a feed-forward network's matrices. */
export interface MlpSlots {
  readonly gate: Slot;
  readonly up: Slot;
  readonly gateUp: Slot;
  readonly down: Slot;
}

const DENSE: MlpSlots = { gate: 'gate', up: 'up', gateUp: 'gateUp', down: 'down' };

/** Builds a feed-forward network. */
export function buildMlp(
  tensors: Tensors,
  { size, activation, gate, bias }: Mlp,
  hiddenSize: number,
  x: Value,
  slots: MlpSlots = DENSE,
): Value {
  const { g } = tensors;
  const activate = findActivation(activation);
  const into = (slot: Slot, outputs: number) => tensors.linear(slot, x, outputs, hiddenSize, bias);
  const inner = () => {
    if (gate === 'none') return activate(g, into(slots.up, size));
    if (gate === 'separate') return g.multiply(activate(g, into(slots.gate, size)), into(slots.up, size));
    const [first, second] = g.split(into(slots.gateUp, 2 * size), [size, size], -1) as [Value, Value];
    return g.multiply(activate(g, first), second);
  };
  return tensors.linear(slots.down, inner(), hiddenSize, size, bias);
}
