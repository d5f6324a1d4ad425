import type { ForwardPlan } from '../../architectures/forward.js';
import { type Attention, type Experts, isAttention } from '../../architectures/settings.js';
import { EXPERT_SLOTS, SLOTS, type Slot } from '../../architectures/slots.js';
import { elementCount } from '../../core/dtype.js';
import type { Swap } from './axes.js';
import type { GgufFamily } from './family.js';

/** One or several tensors of GGUF that hold the elements of one of the Hub (or of several that are stacked), in another order. */
export interface Layout {
  /** Swaps of the Hub's elements, one after another. */
  readonly swaps?: readonly Swap[];
  /** Then they are seen as [outer, sum of sizes, rest], and cut into parts [outer, size, rest]. */
  readonly cut?: { readonly outer: number; readonly sizes: readonly number[] };
  /** Then each part is swapped. */
  readonly partSwaps?: readonly (Swap | undefined)[];
  /** Whether the parts are one tensor, one after another. */
  readonly isOne?: boolean;
  /** Name and shape of each part in GGUF; a part without a name is left out, and zeros on reading. */
  readonly parts: readonly { readonly stem: string | undefined; readonly shape: readonly number[] }[];
  /** Added to each element. */
  readonly added?: number;
}

/** What a tensor's layout depends on. */
export interface Place {
  readonly slot: Slot;
  /** `weight` or `bias`. */
  readonly ending: string;
  /** The layer; undefined for tensors that occur once. */
  readonly layer: number | undefined;
  /** Of the Hub's tensor, or of all that are stacked. */
  readonly shape: readonly number[];
}

/** Returns the layout of a tensor in GGUF, which follows from what llama.cpp expects of the family and from the model's settings. */
export function layoutOf(gguf: GgufFamily, plan: ForwardPlan, place: Place): Layout {
  const { slot, layer, shape } = place;
  const stem = gguf.stemsFor?.(plan)[slot] ?? gguf.stems?.[slot] ?? SLOTS[slot][1];
  const given = plan.layers[layer ?? 0]!;
  const mixer = plan.layers.map(({ mixer }) => mixer).find(isAttention);
  const one = (swap?: Swap, own = shape): Layout => ({
    parts: [{ stem, shape: own }],
    ...(swap && { swaps: [swap] }),
  });
  if (SLOTS[slot][0] === 'norm' && plan.finalNorm?.plusOne) return { ...one(), added: 1 };
  if (mixer && (slot === 'q' || slot === 'k') && isTurned(gguf, plan)) {
    const heads = slot === 'q' ? mixer.heads : mixer.keyValueHeads;
    return one([heads, 2, shape[0]! / heads / 2, 1]);
  }
  if (mixer && slot === 'qkv' && mixer.projection.kind === 'grouped') return ungrouped(mixer, stem, shape);
  if (mixer && slot === 'kvB') return latent(mixer, shape);
  if (slot === 'positions' && plan.embedding.positions?.offset) return withoutReserved(plan, stem, shape);
  if (slot === 'sharedRouter') return one(undefined, [shape[1]!]);
  if (slot === 'conv') return one(undefined, [shape[0]!, shape.at(-1)!]);
  if (EXPERT_SLOTS.has(slot) && given.mlp.kind === 'experts') return ofExperts(given.mlp, slot, stem, shape);
  if (plan.family.columns && layer !== undefined && shape.length === 2)
    return one([1, shape[0]!, shape[1]!, 1], [shape[1]!, shape[0]!]);
  return one();
}

/** Returns whether queries and keys are permuted, because llama.cpp rotates neighbors where the Hub rotates halves. */
function isTurned({ pairs }: GgufFamily, { layers }: ForwardPlan): boolean {
  return (
    pairs === 'neighbors' &&
    layers.some(({ mixer }) => isAttention(mixer) && mixer.rotary?.pairs === 'halves')
  );
}

/** Queries, keys and values of each key head become all queries, all keys, all values. */
function ungrouped(
  { heads, keyValueHeads, headSize }: Attention,
  stem: string,
  shape: readonly number[],
): Layout {
  return {
    cut: { outer: keyValueHeads, sizes: [(heads / keyValueHeads) * headSize, headSize, headSize] },
    isOne: true,
    parts: [{ stem, shape }],
  };
}

/** DeepSeek's second product, [heads x (keys + values), rank], becomes keys [heads, rank, keys] and values [heads, values, rank]. */
function latent({ heads, headSize, valueSize, projection }: Attention, [, rank]: readonly number[]): Layout {
  const keys = headSize - (projection.kind === 'latent' ? projection.rotated : 0);
  return {
    cut: { outer: heads, sizes: [keys, valueSize] },
    partSwaps: [[heads, keys, rank!, 1], undefined],
    parts: [
      { stem: 'attn_k_b', shape: [heads, rank!, keys] },
      { stem: 'attn_v_b', shape: [heads, valueSize, rank!] },
    ],
  };
}

function withoutReserved(plan: ForwardPlan, stem: string, [rows, size]: readonly number[]): Layout {
  const { offset } = plan.embedding.positions!;
  return {
    cut: { outer: 1, sizes: [offset, rows! - offset] },
    parts: [
      { stem: undefined, shape: [offset, size!] },
      { stem, shape: [rows! - offset, size!] },
    ],
  };
}

/** Experts lie together in GGUF, [experts, outputs, inputs], gate and up apart. */
function ofExperts(
  { stored, expert, count }: Experts,
  slot: Slot,
  stem: string,
  shape: readonly number[],
): Layout {
  const gates = [SLOTS.expertGate[1], SLOTS.expertUp[1]];
  const { size } = expert;
  const isMatrix = shape.length === 3;
  const inputs = isMatrix ? shape[stored === 'stackedColumns' ? 1 : 2]! : 1;
  if (slot !== 'expertGateUp') {
    if (stored !== 'stackedColumns' || !isMatrix) return { parts: [{ stem, shape }] };
    const [, rows, columns] = shape;
    return {
      swaps: [[count, rows!, columns!, 1]],
      parts: [{ stem, shape: [count, columns!, rows!] }],
    };
  }
  const cut = { outer: count, sizes: [size, size] };
  const parts = gates.map((gate) => ({
    stem: gate,
    shape: isMatrix ? [count, size, inputs] : [count, size],
  }));
  if (stored !== 'stackedColumns') return { cut, parts };
  const rows: Swap[] = isMatrix ? [[count, inputs, 2 * size, 1]] : [];
  return { swaps: [...rows, [count, size, 2, inputs]], cut, parts };
}

/** Returns whether a layout's axes are whole numbers that divide the tensor: a config may claim other heads than the tensors have. */
export function fits({ swaps = [], cut, partSwaps = [], parts }: Layout, shape: readonly number[]): boolean {
  const whole = (axes: readonly number[]) => axes.every((axis) => Number.isInteger(axis) && axis > 0);
  const all = elementCount(shape);
  const divides = (product: number, total: number) => total % product === 0;
  return (
    swaps.every((swap) => whole(swap) && divides(swap[0] * swap[1] * swap[2], all)) &&
    (!cut ||
      (whole([cut.outer, ...cut.sizes]) &&
        divides(cut.outer * cut.sizes.reduce((total, size) => total + size, 0), all))) &&
    partSwaps.every(
      (swap, i) =>
        !swap || (whole(swap) && divides(swap[0] * swap[1] * swap[2], elementCount(parts[i]!.shape))),
    )
  );
}
