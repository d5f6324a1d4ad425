import type { ForwardPlan } from '../../architectures/forward.js';
import type { LayerPositions } from '../../architectures/settings.js';
import { quote } from '../../core/json.js';

/** Positions of queries and keys at which penalties of distance are compared. */
const PLACES = [
  [0, 3],
  [5, 9],
] as const;

/** float32 keeps 7 digits. */
const PRECISION = 1e-6;

/** What a model computes, as plain values. */
function valuesOf({
  kind,
  vocabulary,
  hiddenSize,
  embedding,
  layers,
  positions,
  finalNorm,
  head,
}: ForwardPlan) {
  const { tied: _, ...rest } = head;
  return {
    kind,
    vocabulary,
    hiddenSize,
    embedding,
    layers,
    positions: positions.map(placed),
    finalNorm,
    head: rest,
  };
}

function placed({ window, rotary, bias, maxDistance }: LayerPositions) {
  return {
    window,
    maxDistance,
    rotary: rotary && { size: rotary.size, base: rotary.base, scaling: rotary.scaling },
    bias:
      bias &&
      PLACES.flatMap(([key, query]) => Array.from({ length: bias.heads }, (_, i) => bias.of(i, key, query))),
  };
}

/**
 * Returns the first difference between what two plans compute: `layers.0.mlp.activation "relu", not "silu"`; undefined if there is none
 * beyond the precision of float32. @param isHeadless whether only hidden states count.
 */
export function differenceOf(plan: ForwardPlan, other: ForwardPlan, isHeadless = false): string | undefined {
  const values = (one: ForwardPlan) => ({ ...valuesOf(one), ...(isHeadless && { head: undefined }) });
  return differ(values(plan), values(other), []);
}

function differ(a: unknown, b: unknown, path: readonly string[]): string | undefined {
  if (typeof a === 'number' && typeof b === 'number' && Math.abs(a - b) <= PRECISION * Math.abs(a))
    return undefined;
  if (isObject(a) && isObject(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const found = differ(a[key], b[key], [...path, key]);
      if (found) return found;
    }
    return undefined;
  }
  if (a === b || isSame(path, a, b)) return undefined;
  return `${path.join('.')} ${quote(a)}, not ${quote(b)}`;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** Activations that ggml computes as one: GELU from a table of its approximation by tanh. */
const GELU = ['gelu', 'gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'];

function isSame(path: readonly string[], a: unknown, b: unknown): boolean {
  const last = path.at(-1);
  if (last === 'activation') return GELU.includes(a as string) && GELU.includes(b as string);
  // a factor of one, or a flag that is off, may be left out
  const neutral = (value: unknown) => value === undefined || value === 1 || value === false;
  return last !== 'window' && neutral(a) && neutral(b) && (a === undefined || b === undefined);
}
