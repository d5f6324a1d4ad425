// A field of config.json that changes what a model computes is computed, or refused by name: never ignored.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FAMILIES } from './helpers/fixtures.js';
import { logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';

interface Change {
  readonly path: readonly string[];
  /** Missing where the field is missing. */
  readonly value?: unknown;
  /** Of the reference's logits. */
  readonly meanSquare: number;
}

const read = (...path: string[]) => JSON.parse(readFileSync(join(FAMILIES, ...path), 'utf8'));
const NAMES = readdirSync(FAMILIES).filter((name) => existsSync(join(FAMILIES, name, 'changed.json')));

function changed(config: Record<string, unknown>, { path, ...change }: Change): Record<string, unknown> {
  const copy = structuredClone(config);
  const part = path.slice(0, -1).reduce((inner, key) => inner[key] as Record<string, unknown>, copy);
  const key = path.at(-1)!;
  if ('value' in change) part[key] = change.value;
  else delete part[key];
  return copy;
}

describe('every field of a config, changed or missing, is computed as the reference does or refused', {
  tags: 'slow',
}, () => {
  it.each(NAMES)('%s', async (name) => {
    const model = await MemoryModel.of(join(FAMILIES, name));
    const { input_ids: inputs } = read(name, 'expected.json');
    const config = model.config;
    const wrong: string[] = [];
    let computed = 0;
    for (const change of read(name, 'changed.json') as Change[]) {
      model.config = changed(config, change);
      const logits = await logitsOf(model, inputs).catch((error: Error) => {
        if (error.name !== 'InputError') throw error;
        return undefined;
      });
      if (!logits) continue;
      computed++;
      const meanSquare = logits.reduce((sum, logit) => sum + logit * logit, 0) / logits.length;
      if (!(Math.abs(meanSquare / change.meanSquare - 1) < 1e-3))
        wrong.push(`${JSON.stringify(change)}, found ${meanSquare}`);
    }
    expect(wrong).toEqual([]);
    expect(computed).toBeGreaterThan(1);
  });
});

describe('a field that no family has is refused by name', () => {
  it.each(NAMES)('%s', async (name) => {
    const model = await MemoryModel.of(join(FAMILIES, name));
    const { input_ids: inputs } = read(name, 'expected.json');
    const text = (model.config.text_config ?? model.config) as Record<string, unknown>;
    text.query_temperature = 1.5;
    expect(await refusalOf(() => logitsOf(model, inputs))).toBe(
      'config.json: unsupported setting query_temperature = 1.5',
    );
  });
});

describe('a config that does not fit the tensors is refused in one line', () => {
  const refusal = async (name: string, change: (model: MemoryModel) => unknown) => {
    const model = await MemoryModel.of(join(FAMILIES, name));
    change(model);
    return refusalOf(() => logitsOf(model, [[1, 2, 3]]));
  };
  const set = (fields: Record<string, unknown>) => (model: MemoryModel) =>
    Object.assign(model.config, fields);
  const without = (pattern: RegExp) => (model: MemoryModel) =>
    model.rename((tensor) => (pattern.test(tensor) ? undefined : tensor));

  it.each<[string, string, (model: MemoryModel) => unknown, RegExp]>([
    [
      'more experts',
      'mixtral',
      set({ num_local_experts: 5 }),
      /gate\.weight.*expected shape \[5,32\], found \[4,32\]/,
    ],
    ['fewer experts', 'mixtral', set({ num_local_experts: 3 }), /expected shape \[3,32\]/],
    ['more stacked experts', 'gpt_oss', set({ num_local_experts: 5 }), /expected shape \[5,/],
    [
      'millions of experts',
      'qwen3_moe',
      set({ num_local_experts: 1e7 }),
      /10000000 experts are over the limit/,
    ],
    [
      'more experts per token',
      'olmoe',
      set({ num_experts_per_tok: 7 }),
      /7 experts per token.*from 6 experts/,
    ],
    ['more heads', 'qwen3', set({ num_attention_heads: 8 }), /q_proj\.weight.*expected shape/],
    [
      'heads that do not share keys',
      'llama_yarn',
      set({ num_key_value_heads: 3 }),
      /multiple of num_key_value_heads/,
    ],
    ['more groups', 'deepseek_v3', set({ n_group: 8, num_experts_per_tok: 6 }), /6 experts per token/],
    ['no router', 'mixtral', without(/\.gate\.weight$/), /block_sparse_moe\.gate\.weight": missing/],
    [
      'a missing expert',
      'qwen2_moe',
      without(/experts\.5\.up_proj/),
      /experts\.5\.up_proj\.weight": missing/,
    ],
    ['no norm of queries', 'qwen3', without(/q_norm/), /q_norm\.weight": missing/],
    ['no sinks', 'gpt_oss', without(/sinks/), /self_attn\.sinks": missing/],
    [
      'a missing table of distances',
      'mpnet',
      without(/relative/),
      /relative_attention_bias\.weight": missing/,
    ],
    ['another list of layers', 'gemma3_text', set({ layer_types: ['full_attention'] }), /layer_types/],
    [
      'factors of another number',
      'phi3_longrope',
      set({ num_attention_heads: 8, num_key_value_heads: 4 }),
      /factors of longrope/,
    ],
  ])('%s: %s', async (_, name, change, message) => {
    expect(await refusal(name, change)).toMatch(message);
  });
});
