import { findActivation } from '../../onnx/activations.js';
import type { Value } from '../../onnx/graph.js';
import type { Experts } from '../settings.js';
import type { Slot } from '../slots.js';
import type { Tensors } from './tensors.js';

/** Computes an expert's outputs [tokens, hidden] from its inputs [tokens, hidden]. */
type Compute = (x: Value, hiddenSize: number) => Value;

/** Returns what computes one expert: from its own tensors, or from its part of tensors that all share. */
export function expertOf(tensors: Tensors, experts: Experts, index: number): Compute {
  const { g } = tensors;
  const { count, expert, stored, clamped } = experts;
  const { size, bias, activation } = expert;
  const linear = (slot: Slot, x: Value, outputs: number, inputs: number) => {
    const name = tensors.nameOf(slot);
    if (stored === 'each') {
      const own = name.replace('*', String(index));
      const product = g.matmulTransposed(x, g.weight(`${own}.weight`, [outputs, inputs], { expert: index }));
      return bias ? g.add(product, g.weight(`${own}.bias`, [outputs], { expert: index })) : product;
    }
    const columns = stored === 'stackedColumns';
    const shape = columns ? [inputs, outputs] : [outputs, inputs];
    const matrix = g.weight(name, shape, { part: { index, count } });
    const product = columns ? g.matmul(x, matrix) : g.matmulTransposed(x, matrix);
    return bias ? g.add(product, g.weight(`${name}_bias`, [outputs], { part: { index, count } })) : product;
  };
  const activate = findActivation(activation);
  return (x, hiddenSize) => {
    const inner = () => {
      if (expert.gate === 'separate')
        return g.multiply(
          activate(g, linear('expertGate', x, size, hiddenSize)),
          linear('expertUp', x, size, hiddenSize),
        );
      const fused = linear('expertGateUp', x, 2 * size, hiddenSize);
      if (stored === 'stackedColumns') {
        const [gate, up] = g.split(g.reshape(fused, [-1, size, 2]), [1, 1], 2) as [Value, Value];
        return clamp(g.reshape(gate, [-1, size]), g.reshape(up, [-1, size]));
      }
      const [gate, up] = g.split(fused, [size, size], 1) as [Value, Value];
      return g.multiply(activate(g, gate), up);
    };
    return linear('expertDown', inner(), hiddenSize, size);
  };

  /** gpt-oss: (up + 1) x gate x sigmoid(gain x gate), with bounds. */
  function clamp(gate: Value, up: Value): Value {
    const { limit, gain } = clamped!;
    const low = g.operation('Min', [gate, g.scalar(limit)]);
    const middle = g.operation('Clip', [up, g.scalar(-limit), g.scalar(limit)]);
    const open = g.multiply(low, g.operation('Sigmoid', [g.multiply(low, g.scalar(gain))]));
    return g.multiply(g.add(middle, g.scalar(1)), open);
  }
}
