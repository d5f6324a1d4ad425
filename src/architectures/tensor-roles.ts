import type { Family } from './family.js';
import type { Role } from './roles.js';
import { SLOTS, type Slot } from './slots.js';

/** A tensor's place in a family. */
export interface Place {
  readonly slot: Slot;
  /** The layer; undefined for tensors that occur once. */
  readonly layer: number | undefined;
  /** The expert; undefined for tensors that all experts share. */
  readonly expert: number | undefined;
}

/** Returns a tensor's name without the family's prefix. */
export function withoutPrefix(name: string, { prefixes }: Family): string {
  const prefix = prefixes.find((one) => name.startsWith(one)) ?? '';
  return name.slice(prefix.length);
}

const slotsByName = new WeakMap<Family, ReadonlyMap<string, Slot>>();

/** Returns which slot of a family a tensor fills, by its name with or without prefix; undefined for tensors of no slot. */
export function placeOf(name: string, family: Family): Place | undefined {
  const plain = withoutPrefix(name, family);
  const [, layer, rest] = layerPattern(family).exec(plain) ?? [];
  const stem = (rest ?? plain).replace(/\.(weight|bias)$/, '');
  const expert = /\.(\d+)\./.exec(stem)?.[1];
  const slots = slotsOf(family);
  const own = slots.get(stem) ?? slots.get(stem.replace(/_bias$/, ''));
  const slot = own ?? (expert === undefined ? undefined : slots.get(stem.replace(`.${expert}.`, '.*.')));
  if (slot === undefined) return undefined;
  const number = (digits: string | undefined) => (digits === undefined ? undefined : Number(digits));
  return { slot, layer: number(layer), expert: own ? undefined : number(expert) };
}

/** Returns a tensor's role in a family; undefined for tensors of no slot. */
export function roleIn(name: string, family: Family): Role | undefined {
  if (family.buffers?.test(withoutPrefix(name, family))) return 'buffer';
  const place = placeOf(name, family);
  return place && SLOTS[place.slot][0];
}

function layerPattern({ layer }: Family): RegExp {
  const pattern = layer.replaceAll('.', '\\.').replace('*', '(\\d+)');
  return new RegExp(`^${layer.includes('*') ? pattern : `${pattern}()`}(.*)$`);
}

function slotsOf(family: Family): ReadonlyMap<string, Slot> {
  const known = slotsByName.get(family);
  if (known) return known;
  const entries = Object.entries(family.names) as [Slot, string][];
  const others = Object.entries(family.otherNames ?? {});
  const slots = new Map([
    ...entries.map(([slot, name]) => [name.replace(/\.weight$/, ''), slot] as const),
    ...others,
  ]);
  slotsByName.set(family, slots);
  return slots;
}
