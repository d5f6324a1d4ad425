import { CONTEXTS } from '../../codecs/trellis/levels.js';
import { INDICES } from '../../codecs/trellis/tokens.js';
import { sumOf } from '../../core/sum.js';

/** Contexts are quarter octaves of the expected magnitude in steps: doubling the step moves weights four contexts down. */
const CONTEXTS_PER_OCTAVE = 4;

/** Minimum number of weights to estimate the entropy of a context. */
const MIN_CONTEXT_WEIGHTS = 256;

/**
 * Predicts the bits of indices at another step from counts at one step: each weight is assumed to have the current entropy of the
 * context that it moves to. Accurate to about a percent for steps within a few octaves.
 * @param counts counts of the indices, laid out like prices. @param octaves log2 of the new step over the current one.
 */
export function predictBits(counts: Float64Array, octaves: number): number {
  return bitsAt(contextEntropies(counts), octaves);
}

/** Predicts the step at which indices take `bits`, from the counts at `step`. */
export function predictStep(counts: Float64Array, step: number, bits: number): number {
  const contexts = contextEntropies(counts);
  let [low, high] = [-40, 40];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (bitsAt(contexts, middle) > bits) low = middle;
    else high = middle;
  }
  return step * 2 ** high;
}

/** Weights in each context, and the entropy in bits of contexts with enough weights, in order. */
interface ContextEntropies {
  readonly weights: Float64Array;
  readonly known: readonly { readonly context: number; readonly entropy: number }[];
}

function bitsAt({ weights, known }: ContextEntropies, octaves: number): number {
  let bits = 0;
  weights.forEach((weight, context) => {
    if (weight) bits += weight * entropyAt(known, context - octaves * CONTEXTS_PER_OCTAVE);
  });
  return bits;
}

function contextEntropies(counts: Float64Array): ContextEntropies {
  const weights = new Float64Array(CONTEXTS);
  const known: { context: number; entropy: number }[] = [];
  for (let context = 0; context < CONTEXTS; context++) {
    let bits = 0;
    for (const quantizer of [0, 1]) {
      const start = (context * 2 + quantizer) * INDICES;
      const table = counts.subarray(start, start + INDICES);
      const total = sumOf(table, (count) => count);
      weights[context]! += total;
      for (const count of table) if (count) bits += count * Math.log2(total / count);
    }
    const weight = weights[context]!;
    if (weight >= MIN_CONTEXT_WEIGHTS) known.push({ context, entropy: bits / weight });
  }
  return { weights, known };
}

/** Interpolates the entropy between known contexts. Beyond them it halves per octave down, and grows by a bit per octave up. */
function entropyAt(known: ContextEntropies['known'], context: number): number {
  const first = known[0];
  const last = known.at(-1);
  if (!first || !last) return 0;
  if (context <= first.context) return first.entropy * 2 ** ((context - first.context) / CONTEXTS_PER_OCTAVE);
  if (context >= last.context) return last.entropy + (context - last.context) / CONTEXTS_PER_OCTAVE;
  const above = known.findIndex((entry) => entry.context >= context);
  const [a, b] = [known[above - 1]!, known[above]!];
  return a.entropy + ((b.entropy - a.entropy) * (context - a.context)) / (b.context - a.context);
}
