// No number is computed from a part of a model: every tensor is used, known not to be needed, or the run is refused by its name.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluate, generate } from '../src/index.js';
import { openModel } from '../src/open/open.js';
import { compress } from '../src/operations/compress.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { FIXTURES } from './helpers/fixtures.js';
import { asModel, TINY_CONFIGS, tinyModel } from './helpers/gguf.js';
import { expectedOf, largestDifference, logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, safetensors, seededRandom } from './helpers/safetensors.js';

const NAMES = ['gpt_neo', 'gpt2', 'roberta', 'llama', 'qwen2', 'gpt_neox'];
const TOLERANCE = 1e-3;
const fixture = (name: string) => MemoryModel.of(join(FIXTURES, name));
const values = (count: number, seed = 3) => {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => random() - 0.5);
};

describe('a tensor that no graph takes', () => {
  it.each(NAMES)(
    '%s is refused by its name, in a layer, beside them and in a layer too many',
    async (name) => {
      const { inputs } = expectedOf(name);
      const extras = {
        gpt_neo: ['transformer.h.0.attn.attention.q_proj.bias', 'transformer.h.9.ln_1.weight'],
        gpt2: ['transformer.h.1.attn.q_norm.weight', 'transformer.wtt.weight'],
        roberta: ['roberta.encoder.layer.0.attention.self.query.lora_A', 'classifier.dense.weight'],
        llama: ['model.layers.1.self_attn.q_norm.weight', 'model.layers.0.self_attn.q_proj.bias'],
        qwen2: ['model.layers.0.self_attn.o_proj.bias', 'model.embed_positions.weight'],
        gpt_neox: ['gpt_neox.layers.0.mlp.gate.weight', 'gpt_neox.norm.bias'],
      }[name]!;
      for (const extra of extras) {
        const changed = (await fixture(name)).set(extra, [4], values(4));
        expect(await refusalOf(() => logitsOf(changed, inputs))).toBe(
          `model: a tensor is not used by the architecture in config.json, so results would be wrong: ${extra}`,
        );
      }
    },
  );

  it('many are named in part and counted, by evaluate and generate alike, before anything is computed', async () => {
    const llama = await fixture('llama');
    for (let i = 0; i < 6; i++) llama.set(`model.layers.0.extra.${i}`, [1], values(1));
    llama.readTensor = () => Promise.reject(new Error('was read'));
    const message = /^model: 6 tensors are not used .* extra\.0, .*extra\.3 and 2 more$/;
    const named = new RegExp(message.source.replace(' extra', ' model\\.layers\\.0\\.extra'));
    expect(
      await refusalOf(() => evaluate(asModel(llama), { tokens: Array(64).fill(1), window: 16 })),
    ).toMatch(named);
    expect(await refusalOf(() => generate(asModel(llama), [1, 2, 3]))).toMatch(named);
  });

  it.each([
    ['gpt2', 'transformer.h.0.attn.bias'],
    ['gpt2', 'transformer.h.1.attn.masked_bias'],
    ['gpt_neo', 'transformer.h.0.attn.attention.bias'],
    ['gpt_neox', 'gpt_neox.layers.1.attention.rotary_emb.inv_freq'],
    ['llama', 'model.layers.0.self_attn.rotary_emb.inv_freq'],
    ['roberta', 'roberta.embeddings.position_ids'],
    ['roberta', 'roberta.pooler.dense.weight'],
  ])('%s: %s is known not to be needed', async (name, buffer) => {
    const { inputs, logits } = expectedOf(name);
    const changed = (await fixture(name)).set(buffer, [4], values(4));
    expect(largestDifference(await logitsOf(changed, inputs), logits)).toBeLessThan(TOLERANCE);
  });
});

describe('a head beside a tied embedding', () => {
  const TIED = [
    ['gpt2', 'transformer.wte.weight', 'lm_head.weight'],
    ['gpt_neo', 'transformer.wte.weight', 'lm_head.weight'],
    ['roberta', 'roberta.embeddings.word_embeddings.weight', 'lm_head.decoder.weight'],
    ['roberta', 'lm_head.bias', 'lm_head.decoder.bias'],
    ['qwen2', 'model.embed_tokens.weight', 'lm_head.weight'],
  ] as const;

  const tied = async (name: string, embedding: string, head: string) => {
    const model = await fixture(name);
    model.config.tie_word_embeddings = true;
    const stored = model.byName.get(embedding)!;
    model.byName.set(head, { ...stored, data: stored.data.slice() });
    return model;
  };

  it.each(TIED)('%s: is taken for %s where it equals it', async (name, embedding, head) => {
    const stored = await tied(name, embedding, head);
    const { inputs } = expectedOf(name);
    const without = await tied(name, embedding, head);
    without.byName.delete(head);
    expect(largestDifference(await logitsOf(stored, inputs), await logitsOf(without, inputs))).toBe(0);
  });

  it.each(TIED)('%s: is refused where one value differs from %s', async (name, embedding, head) => {
    const stored = await tied(name, embedding, head);
    const { data } = stored.byName.get(head)!;
    data[data.length - 2]! ^= 1;
    expect(await refusalOf(() => logitsOf(stored, [[1, 2, 3]]))).toBe(
      `model, tensor "${head}": differs from ${embedding}, although tie_word_embeddings in config.json ties them; set it to false to use this tensor`,
    );
  });

  it('of a .wpk, its digest tells, and a lossy one is the same again', { tags: 'slow' }, async () => {
    const { inputs, logits } = expectedOf('gpt2');
    const model = await tied('gpt2', 'transformer.wte.weight', 'lm_head.weight');
    const files = folder({
      'config.json': JSON.stringify(model.config),
      'model.safetensors': safetensors([...model.byName].map(([name, tensor]) => ({ name, ...tensor }))),
    });
    const original = await openModel(files);
    await compress(original, join(files, 'a.wpk'), { threads: 1 });
    await compress(original, join(files, 'b.wpk'), {
      budget: { bits: 8 },
      threads: 1,
      calibration: false,
    });
    await original.close();
    const lossless = await openModel(join(files, 'a.wpk'));
    expect(largestDifference(await logitsOf(lossless, inputs), logits)).toBeLessThan(TOLERANCE);
    const lossy = await openModel(join(files, 'b.wpk'));
    expect(largestDifference(await logitsOf(lossy, inputs), logits)).toBeLessThan(2);
    await Promise.all([lossless.close(), lossy.close()]);
  });
});

describe('a field that changes numbers and is not understood', () => {
  it.each([
    ['llama', { logits_scaling: 8 }],
    ['llama', { final_logit_softcapping: 30 }],
    ['llama', { attention_multiplier: 0.1 }],
    ['llama', { num_local_experts: 8 }],
    ['gpt2', { quantization_config: { quant_method: 'gptq', bits: 4 } }],
    ['gpt_neox', { alibi: true }],
    ['roberta', { add_cross_attention: true }],
    ['llama', { layer_types: ['full_attention', 'sliding_attention', 'full_attention'] }],
  ])('%s with %o is refused by its name', async (name, settings) => {
    const model = await fixture(name);
    Object.assign(model.config, settings);
    expect(await refusalOf(() => logitsOf(model, [[1, 2]]))).toContain(Object.keys(settings)[0]);
  });

  it.each([{ logits_scaling: 1 }, { num_experts: null }, { quantization_config: {} }, { alibi: false }])(
    '%o changes nothing',
    async (settings) => {
      const { inputs, logits } = expectedOf('llama');
      const model = await fixture('llama');
      Object.assign(model.config, settings);
      expect(largestDifference(await logitsOf(model, inputs), logits)).toBeLessThan(TOLERANCE);
    },
  );
});

describe('a GGUF file', () => {
  const place = folder();
  const PROMPT = [46, 57, 37, 43, 55, 16, 91];
  const biased = (names: readonly string[]) => {
    const config = { attention_bias: names.includes('q_proj'), mlp_bias: names.includes('up_proj') };
    const model = tinyModel('llama', config);
    for (const { name, shape } of model.tensors)
      if (names.some((part) => name.endsWith(`${part}.weight`)))
        model.set(name.replace('.weight', '.bias'), [shape[0]!], values(shape[0]!, name.length));
    return model;
  };
  const ATTENTION = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
  const MLP = ['gate_proj', 'up_proj', 'down_proj'];

  it.each([[ATTENTION], [MLP], [[...ATTENTION, ...MLP]]])(
    'of llama with biases of %o is run with them',
    async (names) => {
      const model = biased(names);
      const path = join(place, `${names.join()}.gguf`);
      await writeGguf(asModel(model), path, { type: 'F32' });
      const opened = await openModel(path);
      const expected = await logitsOf(asModel(model), [PROMPT]);
      expect(largestDifference(await logitsOf(opened, [PROMPT]), expected)).toBeLessThan(1e-5);
      const plain = await logitsOf(asModel(tinyModel('llama')), [PROMPT]);
      expect(largestDifference(expected, plain)).toBeGreaterThan(0.1);
      await opened.close();
    },
  );

  it.each([
    ['llama', 'model.layers.0.self_attn.q_proj.bias', [64]],
    ['llama', 'model.layers.1.input_layernorm.bias', [64]],
    ['qwen2', 'model.layers.0.self_attn.o_proj.bias', [64]],
  ] as const)(
    'of %s is not written with %s, which the model does not compute with',
    async (name, tensor, shape) => {
      const model = tinyModel(name).set(tensor, shape, values(shape[0]));
      const path = join(place, 'refused.gguf');
      expect(await refusalOf(() => writeGguf(asModel(model), path))).toContain(tensor);
      expect(existsSync(path)).toBe(false);
    },
  );

  it('is not written of a tied model whose head differs', async () => {
    const model = tinyModel('llama', { tie_word_embeddings: true });
    model.set('lm_head.weight', [97, TINY_CONFIGS.llama!.hidden_size as number], values(97 * 64));
    expect(await refusalOf(() => writeGguf(asModel(model), join(place, 'refused.gguf')))).toContain(
      'lm_head.weight',
    );
  });
});
