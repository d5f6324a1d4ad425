import type { Value } from '../../onnx/graph.js';
import { BLOCK_INPUTS, type Use } from '../attention.js';
import type { Convolution } from '../settings.js';
import type { Tensors } from './tensors.js';

/**
 * Builds LFM2's gated short convolution: each feature is mixed with its own last values. With a cache, those before the sequence are an
 * input, [batch, taps - 1, hidden]; otherwise they are zero.
 */
export function buildConvolution(
  tensors: Tensors,
  { taps, bias }: Convolution,
  hiddenSize: number,
  x: Value,
  { cached, unpadded }: Use,
): Value {
  const { g } = tensors;
  const seen = unpadded ? g.multiply(x, unpadded) : x;
  const wide = tensors.linear('convIn', seen, 3 * hiddenSize, hiddenSize, bias);
  const [before, after, value] = g.split(wide, [hiddenSize, hiddenSize, hiddenSize], 2) as [
    Value,
    Value,
    Value,
  ];
  const gated = g.multiply(before, value);
  const shape = ['batch', taps - 1, hiddenSize];
  const whole = cached
    ? g.concat([g.input(BLOCK_INPUTS.pastKeys, shape), gated], 1)
    : g.padStart(gated, taps - 1, 1);
  if (cached) g.output(BLOCK_INPUTS.keysOut, g.sliceEnd(whole, taps - 1, 1), shape);
  const kernel = g.reshape(tensors.tensor('conv', [hiddenSize, 1, taps]), [hiddenSize, taps]);
  const length = g.operation('Shape', [x], { start: 1, end: 2 });
  const parts = g.split(kernel, new Array(taps).fill(1), 1).map((tap, i) => {
    const end = g.add(length, g.integers([i]));
    const shifted = g.operation('Slice', [whole, g.integers([i]), end, g.integers([1])]);
    return g.multiply(shifted, g.reshape(tap, [hiddenSize]));
  });
  const sum = parts.reduce((total, part) => g.add(total, part));
  const mixed = bias ? g.add(sum, tensors.tensor('conv', [hiddenSize], '.bias')) : sum;
  return tensors.linear('convOut', g.multiply(after, mixed), hiddenSize, hiddenSize, bias);
}
