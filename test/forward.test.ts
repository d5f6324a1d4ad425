import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readRope } from '../src/architectures/rope.js';
import { rotaryOf } from '../src/architectures/rotary.js';
import { readFloats } from '../src/core/floats.js';
import { Decoder } from '../src/inference/decoder.js';
import { buildProgram } from '../src/inference/program.js';
import { loadRuntime } from '../src/onnx/node/runtime.js';
import { openModel } from '../src/open/open.js';
import { compress } from '../src/operations/compress.js';
import { FIXTURES } from './helpers/fixtures.js';
import { expectedOf, largestDifference, logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder } from './helpers/safetensors.js';

const nodeRuntime = await loadRuntime();

const NAMES = ['gpt_neo', 'gpt2', 'roberta', 'llama', 'qwen2', 'gpt_neox'];
/** A mistake in a mask, scale, gelu or rotary layout moves some logit by at least 1.4e-2. */
const TOLERANCE = 1e-3;
const fixture = (name: string) => MemoryModel.of(join(FIXTURES, name));
const model = (memory: MemoryModel) => memory as unknown as Parameters<typeof buildProgram>[0];

describe('logits of the reference implementation', () => {
  it.each(NAMES)('%s, from the folder', async (name) => {
    const { inputs, logits } = expectedOf(name);
    const opened = await openModel(join(FIXTURES, name));
    expect(largestDifference(await logitsOf(opened, inputs), logits)).toBeLessThan(TOLERANCE);
    await opened.close();
  });

  it.each(NAMES)('%s, from its .wpk', async (name) => {
    const { inputs, logits } = expectedOf(name);
    const path = join(folder({}), 'model.wpk');
    const original = await openModel(join(FIXTURES, name));
    await compress(original, path, { threads: 1 });
    const packed = await openModel(path);
    expect(largestDifference(await logitsOf(packed, inputs), logits)).toBeLessThan(TOLERANCE);
    await Promise.all([original.close(), packed.close()]);
  });

  it.each([
    ['gpt2', 'transformer.'],
    ['gpt_neo', 'transformer.'],
    ['gpt_neox', 'gpt_neox.'],
    ['llama', 'model.'],
    ['roberta', 'roberta.'],
  ])('%s without the prefix %s', async (name, prefix) => {
    const { inputs, logits } = expectedOf(name);
    const bare = (await fixture(name)).rename((tensor) => tensor.replace(prefix, ''));
    expect(largestDifference(await logitsOf(bare, inputs), logits)).toBeLessThan(TOLERANCE);
  });

  it('an untied model uses its own head', async () => {
    const { inputs, logits } = expectedOf('gpt2');
    const untied = await fixture('gpt2');
    untied.config.tie_word_embeddings = false;
    const doubled = untied.floats('transformer.wte.weight').map((value) => 2 * value);
    untied.set('lm_head.weight', [97, 40], doubled);
    const expected = logits.map((value) => 2 * value);
    expect(largestDifference(await logitsOf(untied, inputs), expected)).toBeLessThan(TOLERANCE);
  });

  it('GPT-Neo layers from attention_types alone', async () => {
    const { inputs, logits } = expectedOf('gpt_neo');
    const neo = await fixture('gpt_neo');
    delete neo.config.attention_layers;
    expect(largestDifference(await logitsOf(neo, inputs), logits)).toBeLessThan(TOLERANCE);
  });

  it('does not depend on the other windows run with one', async () => {
    const { inputs, logits } = expectedOf('llama');
    // 120 windows of 24 tokens are more than one batch.
    const many = Array.from({ length: 60 }, () => inputs).flat();
    const got = await logitsOf(await fixture('llama'), many);
    expect(largestDifference(got.subarray(got.length - logits.length), logits)).toBeLessThan(TOLERANCE);
  });
});

describe('longer sequences and other settings', () => {
  const sequence = (length: number, vocabulary = 97) =>
    Array.from({ length }, (_, i) => (i * 31 + ((i * i) % 17)) % vocabulary);

  it('attention in blocks of queries equals attention in one', async () => {
    const llama = await fixture('llama');
    llama.config.max_position_embeddings = 1200;
    const tokens = sequence(1100);
    const blocked = await logitsOf(llama, [tokens]);
    // The decoder takes tokens in other pieces, and a mask for each.
    const decoder = await Decoder.load(nodeRuntime, model(llama));
    for (const [start, end] of [
      [0, 700],
      [700, 701],
      [701, 1100],
    ]) {
      const logits = await decoder.read(tokens.slice(start, end));
      expect(largestDifference(logits, blocked.slice((end! - 1) * 97, end! * 97))).toBeLessThan(TOLERANCE);
    }
    await decoder.release();
  });

  it('a Mistral query sees the last sliding_window keys of each layer', async () => {
    const mistral = await fixture('llama');
    mistral.config = { ...mistral.config, model_type: 'mistral', sliding_window: 5 };
    const tokens = sequence(24);
    const logits = await logitsOf(mistral, [tokens]);
    const changed = await logitsOf(mistral, [[96 - tokens[0]!, ...tokens.slice(1)]]);
    // Through 3 layers, token 0 reaches 3 x (5 - 1) positions ahead.
    const difference = (row: number) =>
      largestDifference(
        logits.subarray(row * 97, (row + 1) * 97),
        changed.subarray(row * 97, (row + 1) * 97),
      );
    expect(difference(12)).toBeGreaterThan(0);
    expect(difference(13)).toBe(0);
    mistral.config.sliding_window = null;
    const { inputs, logits: expected } = expectedOf('llama');
    expect(largestDifference(await logitsOf(mistral, inputs), expected)).toBeLessThan(TOLERANCE);
  });

  it('GPT-NeoX one after the other differs from side by side only through attention', async () => {
    const { inputs, logits } = expectedOf('gpt_neox');
    const neox = await fixture('gpt_neox');
    neox.config.use_parallel_residual = false;
    expect(largestDifference(await logitsOf(neox, inputs), logits)).toBeGreaterThan(0.1);
    for (const { name } of neox.tensors)
      if (name.includes('attention.dense')) neox.byName.get(name)!.data.fill(0);
    const sequential = await logitsOf(neox, inputs);
    neox.config.use_parallel_residual = true;
    expect(largestDifference(await logitsOf(neox, inputs), sequential)).toBe(0);
  });

  it('Llama 3 slows long waves, keeps short ones and blends those between', () => {
    const scaling = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const frequencies = (config: object, size = 128) => rotaryOf(readRope({ ...config }), size).frequencies();
    const plain = frequencies({ rope_theta: 500_000 });
    const scaled = frequencies({ rope_theta: 500_000, rope_scaling: scaling });
    const wavelength = (i: number) => (2 * Math.PI) / plain[i]!;
    plain.forEach((frequency, i) => {
      const smooth = (8192 / wavelength(i) - 1) / (4 - 1);
      const expected =
        wavelength(i) < 8192 / 4
          ? frequency
          : wavelength(i) > 8192
            ? frequency / 8
            : ((1 - smooth) * frequency) / 8 + smooth * frequency;
      expect(scaled[i]).toBeCloseTo(expected, 12);
    });
    expect(scaled[0]).toBe(1);
    expect(scaled[63]).toBe(plain[63]! / 8);
    expect(frequencies({ rope_scaling: { type: 'linear', factor: 2 } }, 8)[0]).toBe(0.5);
  });
});

describe('widening to float32', () => {
  const read = (dtype: string, data: ArrayBufferView, shift = 0) => {
    const bytes = new Uint8Array(data.byteLength + shift);
    bytes.set(new Uint8Array(data.buffer), shift);
    const source = new MemoryModel({}, new Map());
    source.readTensor = async () => bytes.subarray(shift);
    const tensor = { name: 'w', dtype, shape: [], lengthBytes: 0 } as unknown as Parameters<
      typeof readFloats
    >[1];
    return readFloats(model(source), tensor);
  };

  it('F16, BF16, F64 and F32, wherever the bytes begin', async () => {
    // 1, -2, the largest, the smallest normal and subnormal of each type
    const halves = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x8000];
    expect([...(await read('F16', Uint16Array.from(halves), 1))]).toEqual([
      1,
      -2,
      65504,
      2 ** -14,
      2 ** -24,
      -0,
    ]);
    expect([...(await read('BF16', Uint16Array.from([0x3f80, 0xc000, 0x4049]), 1))]).toEqual([
      1, -2, 3.140625,
    ]);
    expect([...(await read('F64', Float64Array.from([0.1, -3]), 3))]).toEqual([Math.fround(0.1), -3]);
    expect([...(await read('F32', Float32Array.from([0.25, 7]), 2))]).toEqual([0.25, 7]);
  });

  it.each([
    ['F32', Float32Array.from([0, 0, Number.NaN, 0, 1]), 'element 2 is NaN'],
    ['F32', Float32Array.from([0, 0, 1, 0, Number.POSITIVE_INFINITY]), 'element 4 is Infinity'],
    ['F16', Uint16Array.from([0x3c00, 0xfc00]), 'element 1 is -Infinity'],
    ['BF16', Uint16Array.from([0x7fc0]), 'element 0 is NaN'],
    ['F64', Float64Array.from([1e300]), 'element 0 is Infinity'],
  ])('refuses what is not finite: %s', async (dtype, data, message) => {
    expect(await refusalOf(() => read(dtype, data))).toBe(
      `model, tensor "w": ${message}; weights must be finite`,
    );
  });
});

describe('a model that cannot be run is refused in one line', () => {
  const refused = async (name: string, change: (memory: MemoryModel) => unknown) => {
    const memory = await fixture(name);
    await change(memory);
    return refusalOf(() => buildProgram(model(memory)));
  };

  it('a bare encoder lacks its head', async () => {
    const message = await refused('roberta', (memory) =>
      memory.rename((name) => (name.startsWith('lm_head') ? undefined : name.replace('roberta.', ''))),
    );
    expect(message).toMatch(
      /^model, tensor "lm_head\.[a-z_.]+": missing: the model has no language-model head and predicts no tokens$/,
    );
  });

  it.each([
    ['gpt_neo', 'num_heads', /num_heads/],
    ['llama', 'hidden_size', /hidden_size/],
    ['gpt2', 'n_positions', /n_ctx/],
    ['gpt_neox', 'vocab_size', /vocab_size/],
  ])('%s: a config without %s', async (name, key, expected) => {
    const message = await refused(name, (memory) => {
      delete memory.config[key];
      if (key === 'n_positions') delete memory.config.n_ctx;
    });
    expect(message).toMatch(expected);
  });

  it.each([
    ['a missing tensor', 'h.2.ln_1.bias', undefined, 'model, tensor "transformer.h.2.ln_1.bias": missing'],
    ['a tensor of another shape', 'ln_f.bias', [20, 2], 'expected shape [40], found [20,2]'],
  ])('%s', async (_, name, shape, expected) => {
    const full = `transformer.${name}`;
    const message = await refused('gpt2', ({ byName }) => {
      const tensor = byName.get(full)!;
      if (shape) byName.set(full, { ...tensor, shape });
      else byName.delete(full);
    });
    expect(message).toContain(expected);
    expect(message).toContain(full);
  });

  it.each([
    ['llama', { rope_scaling: { rope_type: 'mrope', factor: 4 } }, /rope_type.*"mrope"/],
    ['llama', { rope_scaling: { rope_type: 'llama3', factor: 8 } }, /low_freq_factor/],
    ['llama', { hidden_act: 'mish' }, /"mish"/],
    ['llama', { num_key_value_heads: 4 }, /multiple of num_key_value_heads/],
    ['llama', { model_type: 'mamba' }, /unsupported model_type "mamba"/],
    ['gpt_neo', { attention_layers: ['global'] }, /attention_layers/],
    ['gpt_neo', { attention_layers: undefined, attention_types: [[['global'], 1e9]] }, /attention_layers/],
    ['gpt2', { scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx/],
    ['gpt_neox', { rotary_pct: 0.0001 }, /rotary_pct/],
  ])('%s with %o', async (name, settings, expected) => {
    expect(await refused(name, (memory) => Object.assign(memory.config, settings))).toMatch(expected);
  });

  it('weights that are no floats', async () => {
    const message = await refused('gpt2', ({ byName }) => {
      const name = 'transformer.ln_f.bias';
      byName.set(name, { ...byName.get(name)!, dtype: 'I32' });
    });
    expect(message).toBe(
      'model, tensor "transformer.ln_f.bias": expected elements of F32, F64, BF16, F16, found I32',
    );
  });

  it('NaN in the weights is found when they are read', async () => {
    const broken = await fixture('gpt2');
    broken.floats('transformer.h.1.mlp.c_fc.weight')[7] = Number.NaN;
    expect(await refusalOf(() => logitsOf(broken, [[1, 2, 3]]))).toBe(
      'model, tensor "transformer.h.1.mlp.c_fc.weight": element 7 is NaN; weights must be finite',
    );
  });
});
