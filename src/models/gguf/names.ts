import { gpt2 } from './families/gpt2.js';
import { gptneox } from './families/gptneox.js';
import { llama, qwen2 } from './families/llama.js';
import type { GgufFamily, Layout, Stem } from './family.js';

/** Architectures whose tensors can be mapped to the Hub's names and layout, and back. */
export const GGUF_FAMILIES: readonly GgufFamily[] = [llama, qwen2, gpt2, gptneox];

/** A tensor's name and layout in the other format. */
export interface MappedName {
  readonly name: string;
  readonly layout: Layout | undefined;
}

/** Returns a function from GGUF names to the Hub's; undefined for tensors that are not in the family. */
export function toHub({ stems }: GgufFamily): (name: string) => MappedName | undefined {
  const known = new Map(stems.map((stem) => [stem[0], stem]));
  return (name) => renamed(name, (stem) => known.get(stem), 1);
}

/** Returns a function from the Hub's names, with or without prefix, to those of GGUF; undefined for tensors that are not in the family. */
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
