// One reading of a config's rotary positions for the graphs and for GGUF, whichever version of transformers wrote it.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readRope } from '../src/architectures/rope.js';
import { frequencyDivisors } from '../src/architectures/rope-frequencies.js';
import { openModel } from '../src/open/open.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { FIXTURES } from './helpers/fixtures.js';
import { asModel, tinyModel } from './helpers/gguf.js';
import { expectedOf, largestDifference, logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder } from './helpers/safetensors.js';

const TOLERANCE = 1e-3;
const LLAMA3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};
const PROMPT = [46, 57, 37, 43, 55, 16, 91, 3, 12, 60];

describe('a config', () => {
  it.each([
    ['nothing', {}, { base: 10_000, share: 1, scaling: { type: 'default' } }],
    ['transformers 4', { rope_theta: 5e5 }, { base: 5e5 }],
    ['transformers 5', { rope_parameters: { rope_type: 'default', rope_theta: 5e5 } }, { base: 5e5 }],
    ['GPT-NeoX 4', { rotary_emb_base: 4e4, rotary_pct: 0.5 }, { base: 4e4, share: 0.5 }],
    [
      'GPT-NeoX 5',
      { rope_parameters: { rope_theta: 4e4, partial_rotary_factor: 0.5 } },
      { base: 4e4, share: 0.5 },
    ],
    ['a share beside', { partial_rotary_factor: 0.5, rope_theta: 1e4 }, { share: 0.5 }],
    [
      'the old word',
      { rope_scaling: { type: 'linear', factor: 2 } },
      { scaling: { type: 'linear', factor: 2 } },
    ],
    [
      'both versions',
      { rope_theta: 5e5, rope_parameters: { rope_theta: 5e5 }, rope_scaling: null },
      { base: 5e5 },
    ],
    [
      'types of layers that agree',
      { rope_parameters: { full_attention: { rope_theta: 7e4 }, sliding_attention: { rope_theta: 7e4 } } },
      { base: 7e4 },
    ],
    [
      'Llama 3',
      { rope_theta: 5e5, rope_scaling: LLAMA3 },
      { base: 5e5, scaling: { type: 'llama3', factor: 8 } },
    ],
  ])('of %s', (_, config, expected) => {
    expect(readRope(config)).toMatchObject(expected);
  });

  it.each([
    ['unknown types', { rope_parameters: { rope_type: 'mrope', factor: 4 } }, /"mrope"/],
    [
      'two bases',
      { rope_theta: 1e4, rope_parameters: { rope_theta: 1e6 } },
      /rope_parameters\.rope_theta is 1000000, but rope_theta is 10000/,
    ],
    [
      'types of layers that differ',
      { rope_parameters: { full_attention: { rope_theta: 1e6 }, sliding_attention: { rope_theta: 1e4 } } },
      /differ between layers/,
    ],
    [
      'an unknown type in one type of layer',
      {
        rope_parameters: {
          full_attention: { rope_type: 'proportional' },
          sliding_attention: { rope_theta: 1e4 },
        },
      },
      /"proportional"/,
    ],
    [
      'two scalings',
      { rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'linear', factor: 4 } },
      /differ between layers/,
    ],
    ['more than all features', { partial_rotary_factor: 2 }, /at most 1/],
    ['no number', { rope_parameters: { rope_theta: '1e6' } }, /rope_theta/],
    ['no object', { rope_parameters: 7 }, /rope_parameters to be an object/],
  ])('with %s is refused', async (_, config, message) => {
    expect(await refusalOf(() => readRope(config as Record<string, unknown>))).toMatch(message);
  });

  it('divides frequencies for the graph and for the factors in GGUF alike', () => {
    const divisors = frequencyDivisors(readRope({ rope_theta: 5e5, rope_scaling: LLAMA3 }), 128);
    expect([divisors[0], divisors[63]]).toEqual([1, 8]);
  });
});

/** The same positions as transformers 4 and 5 write them. */
const WORDS: [string, string, Record<string, unknown>, Record<string, unknown>][] = [
  ['llama', 'a base', { rope_theta: 2500 }, { rope_parameters: { rope_theta: 2500, rope_type: 'default' } }],
  ['qwen2', 'a base', { rope_theta: 2500 }, { rope_parameters: { rope_theta: 2500, rope_type: 'default' } }],
  [
    'gpt_neox',
    'a base and a share',
    { rotary_emb_base: 2500, rotary_pct: 0.5 },
    { rope_parameters: { rope_theta: 2500, partial_rotary_factor: 0.5, rope_type: 'default' } },
  ],
  [
    'llama',
    'a linear scaling',
    { rope_theta: 2500, rope_scaling: { type: 'linear', factor: 2 } },
    { rope_parameters: { rope_theta: 2500, rope_type: 'linear', factor: 2 } },
  ],
  [
    'llama',
    "Llama 3's scaling",
    { rope_theta: 5e5, rope_scaling: LLAMA3 },
    { rope_parameters: { ...LLAMA3, rope_theta: 5e5 } },
  ],
];

describe.each(WORDS)('%s with %s', (name, what, four, five) => {
  const settings = (given: Record<string, unknown>) => {
    const model = tinyModel(name);
    for (const key of ['rope_theta', 'rotary_emb_base', 'rotary_pct']) delete model.config[key];
    Object.assign(model.config, given);
    return asModel(model);
  };

  it('computes the same in either version, and something else than by default', async () => {
    const expected = await logitsOf(settings(four), [PROMPT]);
    expect(largestDifference(await logitsOf(settings(five), [PROMPT]), expected)).toBe(0);
    const byDefault = await logitsOf(settings({}), [PROMPT]);
    expect(largestDifference(byDefault, expected)).toBeGreaterThan(1e-3);
  });

  it.each([
    ['4', four],
    ['5', five],
  ])('keeps them in a GGUF file: transformers %s', async (version, given) => {
    const path = join(folder(), `${name}-${version}.gguf`);
    await writeGguf(settings(given), path, { type: 'F32' });
    const opened = await openModel(path);
    const [own, other] = [await logitsOf(settings(given), [PROMPT]), await logitsOf(opened, [PROMPT])];
    expect(largestDifference(own, other), what).toBeLessThan(1e-4);
    await opened.close();
  });
});

describe('fixtures of the reference implementation', () => {
  const fixture = (name: string) => MemoryModel.of(join(FIXTURES, name));

  it.each(['llama', 'qwen2', 'gpt_neox'])('%s in the words of transformers 5', async (name) => {
    const { inputs, logits } = expectedOf(name);
    const model = await fixture(name);
    const { base, share } = readRope(model.config, { defaultShare: name === 'gpt_neox' ? 0.25 : 1 });
    for (const key of ['rope_theta', 'rotary_emb_base', 'rotary_pct', 'rope_scaling'])
      delete model.config[key];
    model.config.rope_parameters = { rope_type: 'default', rope_theta: base, partial_rotary_factor: share };
    expect(largestDifference(await logitsOf(model, inputs), logits)).toBeLessThan(TOLERANCE);
  });

  it('llama does not turn a part of its heads', async () => {
    const model = await fixture('llama');
    model.config.partial_rotary_factor = 0.5;
    expect(await refusalOf(() => logitsOf(model, [[1]]))).toMatch(/partial_rotary_factor = 0\.5/);
  });
});

describe("qwen2's layer_types", () => {
  const tokens = Array.from({ length: 24 }, (_, i) => (i * 31 + ((i * i) % 17)) % 97);
  /** The last row whose logits depend on the first token. */
  const reach = async (settings: Record<string, unknown>) => {
    const model = await MemoryModel.of(join(FIXTURES, 'qwen2'));
    Object.assign(model.config, { use_sliding_window: true, sliding_window: 5 }, settings);
    const own = await logitsOf(model, [tokens]);
    const other = await logitsOf(model, [[96 - tokens[0]!, ...tokens.slice(1)]]);
    const differs = (row: number) =>
      largestDifference(own.subarray(row * 97, (row + 1) * 97), other.subarray(row * 97, (row + 1) * 97)) > 0;
    return tokens
      .map((_, row) => row)
      .filter(differs)
      .at(-1);
  };
  const layers = async () => Number((await MemoryModel.of(join(FIXTURES, 'qwen2'))).config.num_hidden_layers);

  it('say which layers see a window, before max_window_layers does', async () => {
    const count = await layers();
    const all = Array(count).fill('sliding_attention');
    expect(await reach({ layer_types: all, max_window_layers: 28 })).toBe(count * 4);
    expect(await reach({ layer_types: Array(count).fill('full_attention'), max_window_layers: 0 })).toBe(23);
    expect(await reach({ layer_types: ['full_attention', ...all.slice(1)], max_window_layers: 0 })).toBe(23);
    expect(await reach({ max_window_layers: 0 })).toBe(count * 4);
  });

  it.each([
    [
      { layer_types: ['sliding_attention'] },
      /layer_types to be full_attention or sliding_attention for each/,
    ],
    [{ layer_types: 'linear_attention' }, /layer_types/],
  ])('%o is refused', async (settings, message) => {
    expect(await refusalOf(() => reach(settings))).toMatch(message);
  });

  it('with a window that is switched off are refused, as by the reference', async () => {
    const kinds = Array(await layers()).fill('sliding_attention');
    const refusal = await refusalOf(() => reach({ layer_types: kinds, use_sliding_window: false }));
    expect(refusal).toMatch(/sliding_attention, which needs sliding_window/);
  });
});

describe('a Mistral config that does not name its window', () => {
  it('has that of the reference, 4096; null is none', async () => {
    const model = await MemoryModel.of(join(FIXTURES, 'llama'));
    const { buildProgram } = await import('../src/inference/program.js');
    const windowOf = (settings: object) => {
      model.config = { ...model.config, model_type: 'mistral', ...settings };
      return buildProgram(asModel(model)).plan.positions[0]!.window;
    };
    delete model.config.sliding_window;
    expect(windowOf({})).toBe(4096);
    expect(windowOf({ sliding_window: null })).toBeUndefined();
  });
});
