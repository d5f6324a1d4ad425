import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generate } from '../src/index.js';
import { openModel } from '../src/open/open.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { EVALUATION_TEXT, FIXTURES, TINY } from './helpers/fixtures.js';
import { asModel, TINY_CONFIGS, tinyModel, withTokenizer } from './helpers/gguf.js';
import { continued, llama, logProbabilities, probabilitiesThere } from './helpers/llama-cpp.js';
import { largestDifference, logitsOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';

afterAll(() => llama?.dispose());

const PROMPT = [46, 57, 37, 43, 55, 16, 91, 63, 80, 24];

/** In shares of the largest logit: llama.cpp keeps keys and values in F16, rounds activations to the weights' type, reads GELU from a table. */
const TOLERANCE = { F32: 4e-3, F16: 4e-3, BF16: 2e-2, Q8_0: 4e-2 };

describe('llama.cpp runs what is written', needs(llama, 'a build of llama.cpp for this system'), () => {
  const place = folder();

  describe.each(Object.keys(TINY_CONFIGS))('%s', (name) => {
    it.each(['F32', 'F16', 'BF16', 'Q8_0'] as const)(
      'as %s, to the logits of the forward pass here',
      async (type) => {
        const path = join(FIXTURES, name);
        const model = withTokenizer(await MemoryModel.of(path));
        const file = join(place, `${name}-${type}.gguf`);
        await writeGguf(asModel(model), file, { type });
        const opened = await openModel(file);
        const logits = await logitsOf(opened, [PROMPT]);
        const { tokens } = await generate(opened, PROMPT, { maxTokens: 6, endTokens: [] });
        await opened.close();
        const largest = logits.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
        const here = logProbabilities(logits, PROMPT.length);
        const difference = largestDifference(await probabilitiesThere(file, PROMPT), here) / largest;

        expect(difference).toBeLessThan(TOLERANCE[type]);
        if (type === 'F32' || type === 'F16') expect(await continued(file, PROMPT, 6)).toEqual(tokens);
      },
    );
  });

  it('a tied head, where llama.cpp expects a separate one', async () => {
    const model = withTokenizer(tinyModel('gpt_neox', { tie_word_embeddings: true }));
    const file = join(place, 'tied.gguf');
    await writeGguf(asModel(model), file, { type: 'F32' });
    const { tokens } = await generate(asModel(model), PROMPT, { maxTokens: 6, endTokens: [] });
    expect(await continued(file, PROMPT, 6)).toEqual(tokens);
  });

  it('rotary positions scaled as in Llama 3', async () => {
    const rope_scaling = {
      rope_type: 'llama3',
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const model = withTokenizer(tinyModel('llama', { rope_scaling, rope_theta: 500_000 }));
    const file = join(place, 'llama3.gguf');
    await writeGguf(asModel(model), file, { type: 'F32' });
    const opened = await openModel(file);
    expect(opened.config).toMatchObject({ rope_scaling, rope_theta: 500_000 });
    const { tokens } = await generate(opened, PROMPT, { maxTokens: 6, endTokens: [] });
    await opened.close();
    expect(await continued(file, PROMPT, 6)).toEqual(tokens);
  });

  describe('a real tokenizer', () => {
    let file: string;
    beforeAll(async () => {
      const source = await MemoryModel.of(TINY);
      const model = tinyModel('gpt2', { vocab_size: source.config.vocab_size });
      for (const { name, read } of source.sideFiles)
        if (name.startsWith('tokenizer')) model.addFile(name, await read());
      file = join(place, 'tokenizer.gguf');
      await writeGguf(asModel(model), file);
    });

    it('tokenizes like this project', async () => {
      const text = readFileSync(EVALUATION_TEXT, 'utf8').slice(0, 20_000);
      const opened = await openModel(file);
      const ours = (await loadTokenizer(opened)).encode(text);
      await opened.close();
      const model = await llama!.loadModel({ modelPath: file, vocabOnly: true });
      expect(model.tokenize(text)).toEqual(ours);
      await model.dispose();
    });
  });
});
