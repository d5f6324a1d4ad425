import {
  embeddingGraph,
  type ForwardPlan,
  finalGraph,
  headGraph,
  kindOf,
  layerGraph,
  layerPrefix,
  namesOf,
} from '../../architectures/forward.js';
import { HEAD_SLOTS, type Slot } from '../../architectures/slots.js';
import { InputError } from '../../core/errors.js';
import type { Model, TensorInfo } from '../../core/model.js';
import type { Graph, WeightInput } from '../../onnx/graph.js';
import { inverse, type LastSlice } from './axes.js';
import type { GgufFamily } from './family.js';
import { fits, type Layout, layoutOf } from './layouts.js';
import { alike, joined, mapped, partOf, swapped, type View } from './views.js';

interface Named {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Tensors of the Hub and of GGUF that hold the same elements. Several of the Hub are stacked: experts. */
export interface Bundle {
  readonly hub: readonly Named[];
  readonly gguf: readonly (Named | undefined)[];
  readonly layout: Layout;
}

/**
 * Pairs the tensors that a model computes with and those of a GGUF file, in the order of their use.
 * @throws {InputError} for heads or experts that do not divide a tensor.
 */
export function bundlesOf(gguf: GgufFamily, plan: ForwardPlan): Bundle[] {
  const groups = new Map<string, { slot: Slot; ending: string; layer: number | undefined; hub: Named[] }>();
  const slots = slotsOf(plan);
  for (const { weight, layer } of weightsOf(gguf, plan)) {
    const { slot, ending } = slots(weight.tensor);
    const key = `${layer} ${slot} ${ending}`;
    const group = groups.get(key) ?? { slot, ending, layer, hub: [] };
    const name = hubName(gguf, plan, slot, weight, layer);
    const shape = weight.part ? [weight.part.count, ...weight.shape] : weight.shape;
    if (!group.hub.some((own) => own.name === name)) group.hub.push({ name, shape });
    groups.set(key, group);
  }
  return [...groups.values()].map(({ slot, ending, layer, hub }) => {
    const [first] = hub as [Named, ...Named[]];
    const isStack = /(^|\.)(experts|norms)\.\d+\./.test(first.name);
    const shape = isStack ? [hub.length, ...first.shape] : first.shape;
    const layout = layoutOf(gguf, plan, { slot, ending, layer, shape });
    if (!fits(layout, shape))
      throw new InputError(`shape [${shape}] does not match the number of heads in the config`, {
        tensor: first.name,
      });
    const prefix = layer === undefined ? '' : `blk.${layer}.`;
    const named = layout.parts.map((part) =>
      part.stem === undefined ? undefined : { name: `${prefix}${part.stem}.${ending}`, shape: part.shape },
    );
    return { hub, gguf: named, layout };
  });
}

/** Returns a function that finds a tensor by its name with the family's usual prefix, in a model that may have another or none. */
export function finderOf(
  { tensors }: Pick<Model, 'tensors'>,
  { family }: ForwardPlan,
): (name: string) => TensorInfo {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const [usual] = family.prefixes;
  return (name) => {
    const plain = name.startsWith(usual) ? name.slice(usual.length) : name;
    const found = [...family.prefixes, '']
      .map((prefix) => byName.get(prefix + plain))
      .find((tensor) => tensor);
    return found ?? byName.get(name)!;
  };
}

/** A weight of one of the graphs. */
interface Weight {
  readonly weight: WeightInput;
  readonly layer: number | undefined;
}

function weightsOf({ isHeadless }: GgufFamily, plan: ForwardPlan): Weight[] {
  const graphs = new Map<string, Graph>();
  const graphOf = (layer: number) => {
    const kind = kindOf(plan, layer);
    const known = graphs.get(kind) ?? layerGraph(plan, layer);
    graphs.set(kind, known);
    return known;
  };
  const once = ({ weights }: Graph) => weights.map((weight) => ({ weight, layer: undefined }));
  return [
    ...once(embeddingGraph(plan)),
    ...plan.layers.flatMap((_, layer) =>
      graphOf(layer).weights.map((weight) => ({ weight, layer: weight.ofModel ? undefined : layer })),
    ),
    ...once(isHeadless ? finalGraph(plan) : headGraph(plan)),
  ];
}

function hubName(
  { isHeadless }: GgufFamily,
  plan: ForwardPlan,
  slot: Slot,
  { tensor }: WeightInput,
  layer: number | undefined,
): string {
  const prefix = isHeadless || HEAD_SLOTS.has(slot) ? '' : plan.family.prefixes[0];
  return prefix + (layer === undefined ? '' : layerPrefix(plan, layer)) + tensor;
}

/** Returns a function that finds the slot of a tensor's name, relative to its layer, and its ending in GGUF. */
function slotsOf(plan: ForwardPlan): (tensor: string) => { readonly slot: Slot; readonly ending: string } {
  const known = new Map<string, { slot: Slot; ending: string }>();
  const names = Object.entries(namesOf(plan)) as [Slot, string][];
  const add = (name: string, slot: Slot, ending: string) => {
    if (!known.has(name)) known.set(name, { slot, ending });
  };
  for (const [slot, name] of names) if (slot === 'headBias') add(`${name}.bias`, slot, 'bias');
  for (const [slot, name] of names) {
    add(name, slot, slot === 'choiceBias' ? 'bias' : 'weight');
    add(`${name}.weight`, slot, 'weight');
    for (const bias of ['.bias', '_bias']) add(name + bias, slot, 'bias');
  }
  return (tensor) => {
    const plain = tensor.replace(/\.norms\.\d+\./, '.').replace(/\.\d+\./, '.*.');
    const found = known.get(plain);
    if (!found) throw new Error(`no slot for ${tensor}`);
    return found;
  };
}

/** Returns the tensors of GGUF that hold the elements of a bundle's tensors of the Hub. */
export function toGguf({ gguf, layout }: Bundle, hub: readonly View[], last: LastSlice): View[] {
  const { swaps = [], cut, partSwaps = [], isOne, added, parts } = layout;
  const [first, ...more] = alike(hub) as [View, ...View[]];
  const stack = more.length
    ? joined(
        [first, ...more],
        1,
        hub.map(() => 1),
        [hub.length, ...first.shape],
      )
    : first;
  const turned = swaps.reduce((view, swap) => swapped(view, swap, last), stack);
  const whole = added === undefined ? turned : mapped(turned, (value) => value + added);
  const cutInto = () => {
    if (!cut) return [{ ...whole, shape: parts[0]!.shape }];
    const pieces = cut.sizes.map((size, i) => {
      const shape = isOne ? [cut.outer * size, ...parts[0]!.shape.slice(1)] : parts[i]!.shape;
      const piece = partOf(whole, cut.outer, cut.sizes, i, shape);
      const swap = partSwaps[i];
      return swap ? swapped(piece, swap, last) : piece;
    });
    return isOne ? [joined(pieces, 1, cut.sizes, parts[0]!.shape)] : pieces;
  };
  return cutInto().flatMap((view, i) => {
    const named = gguf[i];
    return named ? [{ ...view, name: named.name }] : [];
  });
}

/** Returns the tensors of the Hub that hold the elements of a bundle's tensors of GGUF, in their order without those left out. */
export function toHub({ hub, gguf, layout }: Bundle, given: readonly View[], last: LastSlice): View[] {
  const { swaps = [], cut, partSwaps = [], isOne, added } = layout;
  const views = [...alike(given)];
  const parts = gguf.map((named) => (named ? views.shift() : undefined));
  const shape = hub.length > 1 ? [hub.length, ...hub[0]!.shape] : hub[0]!.shape;
  const whole = () => {
    if (!cut) return { ...parts[0]!, shape };
    const pieces = isOne
      ? cut.sizes.map((size, i) => partOf(parts[0]!, 1, cut.sizes, i, [cut.outer * size, shape[1] ?? 1]))
      : parts.map((part, i) => {
          const swap = partSwaps[i];
          return part && swap ? swapped(part, inverse(swap), last) : part;
        });
    return joined(pieces, cut.outer, cut.sizes, shape);
  };
  const plain = added === undefined ? whole() : mapped(whole(), (value) => value - added);
  const back = [...swaps].reverse().reduce((view, swap) => swapped(view, inverse(swap), last), plain);
  return hub.map(({ name, shape: own }, i) => ({
    ...(hub.length > 1
      ? partOf(
          back,
          1,
          hub.map(() => 1),
          i,
          own,
        )
      : back),
    name,
    shape: own,
  }));
}
