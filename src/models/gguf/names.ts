import { SLOTS, type Slot } from '../../architectures/slots.js';
import { bert, distilbert, modernbert, nomicBert } from './families/bert.js';
import { deepseek2, deepseek3, gptOss, graniteMoe, olmoe } from './families/experts.js';
import { gemma, gemma2, gemma3 } from './families/gemma.js';
import { bloom, falcon, gpt2, gptneox, starcoder } from './families/gpt.js';
import { granite, llama, mixtral, smollm3 } from './families/llama.js';
import {
  cohere2,
  commandR,
  glm4,
  lfm2,
  olmo2,
  olmo3,
  phi2,
  phi3,
  stablelm,
  starcoder2,
} from './families/others.js';
import { qwen2, qwen2Moe, qwen3, qwen3Moe } from './families/qwen.js';
import type { GgufFamily } from './family.js';
import type { GgufHeader } from './header.js';

/** Architectures whose tensors can be mapped to the Hub's names and layout, and back. */
export const GGUF_FAMILIES: readonly GgufFamily[] = [
  ...[llama, mixtral, smollm3, granite, qwen2, qwen3, qwen2Moe, qwen3Moe],
  ...[gpt2, gptneox, starcoder, falcon, bloom],
  ...[gemma, gemma2, gemma3, phi2, phi3, stablelm, glm4, starcoder2, olmo2, olmo3, commandR, cohere2, lfm2],
  ...[olmoe, graniteMoe, gptOss, deepseek2, deepseek3],
  ...[bert, distilbert, nomicBert, modernbert],
];

/** Returns the family of a file; undefined for unknown ones and adapters, which are not mapped. */
export function familyOf({ metadata, tensors }: GgufHeader): GgufFamily | undefined {
  const architecture = metadata.get('general.architecture');
  if ((metadata.get('general.type') ?? 'model') !== 'model') return undefined;
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  return GGUF_FAMILIES.find(
    (one) =>
      one.architecture === architecture &&
      (one.matches?.((key) => metadata.get(`${architecture}.${key}`), shapes) ?? true),
  );
}

/** Returns a function from GGUF names to the Hub's, for lists; undefined for tensors that have no counterpart of their own. */
export function toHubName({ family, stems = {} }: GgufFamily): (name: string) => string | undefined {
  const known = new Map(
    (Object.entries(family.names) as [Slot, string][]).map(([slot, name]) => [
      stems[slot] ?? SLOTS[slot][1],
      name,
    ]),
  );
  return (name) => {
    const [, layer, stem = '', ending = ''] = /^(?:blk\.(\d+)\.)?(.*?)(\.weight|\.bias)?$/s.exec(name)!;
    const own = known.get(stem);
    if (own === undefined || own.includes('*')) return undefined;
    const prefix = stem === 'output' ? '' : family.prefixes[0];
    return prefix + (layer === undefined ? '' : family.layer.replace('*', layer)) + own + ending;
  };
}
