import { gpt2 } from './families/gpt2.js';
import { gptneox } from './families/gptneox.js';
import { llama, qwen2 } from './families/llama.js';
import type { GgufFamily, Layout, Stem } from './family.js';

/** The architectures whose tensors are named and laid out as on the Hub, and written. */
export const GGUF_FAMILIES: readonly GgufFamily[] = [llama, qwen2, gpt2, gptneox];

/** A tensor's name in the other format, and how its elements lie there. */
export interface MappedName {
  readonly name: string;
  readonly layout: Layout | undefined;
}

/** Gives the Hub's name of a tensor of GGUF, undefined when it is not of the family. */
export function toHub({ stems }: GgufFamily): (name: string) => MappedName | undefined {
  const known = new Map(stems.map((stem) => [stem[0], stem]));
  return (name) => renamed(name, (stem) => known.get(stem), 1);
}

/** Gives the GGUF name of a tensor on the Hub, its prefix there or not; undefined when it is not of the family. */
export function toGguf({ stems, prefix }: GgufFamily): (name: string) => MappedName | undefined {
  const known = new Map(stems.map((stem) => [stem[1], stem]));
  return (name) => renamed(name, (stem) => known.get(stem) ?? known.get(prefix + stem), 0);
}

function renamed(
  name: string,
  find: (stem: string) => Stem | undefined,
  side: 0 | 1,
): MappedName | undefined {
  const [, own, ending] = /^(.*)(\.weight|\.bias)$/s.exec(name) ?? [];
  if (own === undefined) return undefined;
  const layer = /\.(\d+)\./.exec(own)?.[1];
  const stem = find(layer === undefined ? own : own.replace(`.${layer}.`, '.*.'));
  return stem && { name: stem[side].replace('*', layer ?? '*') + ending, layout: stem[2] };
}
