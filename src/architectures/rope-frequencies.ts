import type { Rope } from './rope.js';
import type { RopeScaling } from './rope-scaling.js';

/**
 * Returns the divisors of the `size / 2` frequencies base^(-2i / size). With llama3, low frequencies are divided by the factor, high ones
 * are unchanged, and those between are interpolated; so with yarn, which counts rotations in another way.
 * @param length tokens of the sequence, for those that depend on it.
 */
export function frequencyDivisors(
  { base, scaling }: Pick<Rope, 'base' | 'scaling'>,
  size: number,
  length = 1,
): Float64Array {
  if (scaling.type === 'yarn') return yarnDivisors(base, scaling, size);
  return Float64Array.from({ length: size / 2 }, (_, i) => {
    if (scaling.type === 'default') return 1;
    if (scaling.type === 'linear') return scaling.factor;
    if (scaling.type === 'dynamic') {
      const { factor, positions } = scaling;
      const stretched = (factor * Math.max(length, positions)) / positions - (factor - 1);
      return stretched ** ((2 * i) / (size - 2));
    }
    if (scaling.type === 'longrope')
      return (length > scaling.originalPositions ? scaling.long : scaling.short)[i]!;
    const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
    const waves = originalPositions / (2 * Math.PI * base ** ((2 * i) / size));
    const unscaled = Math.min(1, Math.max(0, (waves - low) / (high - low)));
    return 1 / (unscaled + (1 - unscaled) / factor);
  });
}

function yarnDivisors(
  base: number,
  scaling: Extract<RopeScaling, { type: 'yarn' }>,
  size: number,
): Float64Array {
  const { factor, fast, slow, truncate, originalPositions } = scaling;
  const pairOf = (rotations: number) =>
    (size * Math.log(originalPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  const [first, last] = truncate
    ? [Math.floor(pairOf(fast)), Math.ceil(pairOf(slow))]
    : [pairOf(fast), pairOf(slow)];
  const [low, high] = [Math.max(first, 0), Math.min(last, size - 1)];
  return Float64Array.from({ length: size / 2 }, (_, i) => {
    const scaled = Math.min(1, Math.max(0, (i - low) / (high === low ? 0.001 : high - low)));
    return 1 / (1 - scaled + scaled / factor);
  });
}
