import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { generateCommand } from '../src/cli/generate.js';
import { randomNumbers } from '../src/core/random.js';
import { generate } from '../src/evaluation/node/run.js';
import { sample } from '../src/inference/sampling.js';
import { openModel } from '../src/open/open.js';
import { FIXTURES, TINY } from './helpers/fixtures.js';
import { logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder as temporary } from './helpers/safetensors.js';

type Options = Parameters<typeof generate>[2];
const run = (model: MemoryModel, prompt: string | number[], options: Options) =>
  generate(model as never, prompt, options);

/** Greedy continuation, the whole prefix run anew for each token. */
async function recomputed(model: Parameters<typeof logitsOf>[0], prompt: number[], count: number) {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = await logitsOf(model, [tokens]);
    const last = logits.subarray((tokens.length - 1) * (logits.length / tokens.length));
    tokens.push(last.indexOf(last.reduce((a, b) => Math.max(a, b))));
  }
  return tokens.slice(prompt.length);
}

/** Repeats the rows of a table of positions to `rows`. */
function lengthen(model: MemoryModel, name: string, rows: number): void {
  const [stored, size] = model.byName.get(name)!.shape as [number, number];
  const values = model.floats(name);
  const longer = Float32Array.from({ length: rows * size }, (_, i) => values[i % (stored * size)]!);
  model.set(name, [rows, size], longer);
}

describe('generation with cached keys and values', () => {
  const architectures: [string, (model: MemoryModel) => unknown][] = [
    [
      'gpt_neo',
      (model) => {
        model.config.max_position_embeddings = 256;
        lengthen(model, 'transformer.wpe.weight', 256);
      },
    ],
    [
      'gpt2',
      (model) => {
        Object.assign(model.config, { n_positions: 256, n_ctx: 256 });
        lengthen(model, 'transformer.wpe.weight', 256);
      },
    ],
    ['llama', (model) => Object.assign(model.config, { max_position_embeddings: 256 })],
    [
      'llama',
      (model) =>
        Object.assign(model.config, {
          max_position_embeddings: 256,
          model_type: 'mistral',
          sliding_window: 7,
        }),
    ],
    ['qwen2', (model) => Object.assign(model.config, { max_position_embeddings: 256 })],
    ['gpt_neox', (model) => Object.assign(model.config, { max_position_embeddings: 256 })],
  ];
  it.each(architectures)(
    '%s gives the tokens of recomputing, 200 of them',
    { tags: 'slow' },
    async (name, change) => {
      const model = await MemoryModel.of(join(FIXTURES, name));
      change(model);
      const prompt = [5, 17, 88, 42, 3];
      const { tokens, stopped, text } = await run(model, prompt, { maxTokens: 200, endTokens: [] });
      expect(tokens).toEqual(await recomputed(model, prompt, 200));
      expect({ stopped, text }).toEqual({ stopped: 'length', text: undefined });
    },
  );

  it('a trained model, 200 tokens of text', { tags: 'slow' }, async () => {
    const model = await openModel(TINY);
    const parts: string[] = [];
    const result = await generate(model, 'It was a dark and stormy night', {
      maxTokens: 200,
      endTokens: [],
      onToken: (_, text) => parts.push(text),
    });
    const memory = await MemoryModel.of(TINY);
    const { loadTokenizer } = await import('../src/tokenizer/tokenizer.js');
    const tokenizer = await loadTokenizer(model);
    const prompt = tokenizer.encode('It was a dark and stormy night');
    expect(result.tokens).toEqual(await recomputed(memory, prompt, 200));
    expect(result.text).toBe(tokenizer.decode(result.tokens));
    expect(result.text!.startsWith(parts.join(''))).toBe(true);
    expect(parts.length).toBe(200);
    await model.close();
  });

  it('ends with the context, and with an ending token', async () => {
    const gpt2 = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    const full = await run(gpt2, [1, 2, 3], { maxTokens: 100, endTokens: [] });
    // 32 positions, and the token after the last of them
    expect([full.tokens.length, full.stopped]).toEqual([32 - 3 + 1, 'context']);
    const end = full.tokens[4]!;
    const ended = await run(gpt2, [1, 2, 3], { maxTokens: 100, endTokens: [end] });
    expect(ended.tokens).toEqual(full.tokens.slice(0, full.tokens.indexOf(end)));
    expect(ended.stopped).toBe('end');
    gpt2.config.eos_token_id = [end];
    expect((await run(gpt2, [1, 2, 3], {})).tokens).toEqual(ended.tokens);
  });

  it.each([
    ['a number', (end: number) => ({ eos_token_id: end })],
    ['a list', (end: number) => ({ eos_token_id: [96, end] })],
  ])('ends with what generation_config.json names, %s, beside what the config does', async (_, said) => {
    const prompt = [1, 2, 3];
    const plain = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    const { tokens } = await run(plain, prompt, { maxTokens: 12, endTokens: [] });
    const end = tokens.find((token, i) => i > 1 && tokens.indexOf(token) === i)!;
    const ended = (model: MemoryModel) => run(model, prompt, { maxTokens: 12 });
    const expected = { stopped: 'end', tokens: tokens.slice(0, tokens.indexOf(end)) };
    delete plain.config.eos_token_id;
    expect((await ended(plain)).stopped).toBe('length');
    plain.config.eos_token_id = said(end).eos_token_id;
    expect(await ended(plain)).toMatchObject(expected);
    plain.config.eos_token_id = 95;
    plain.addFile('generation_config.json', JSON.stringify(said(end)));
    expect(await ended(plain)).toMatchObject(expected);
  });

  it('a generation_config.json with other end tokens than numbers is refused', async () => {
    const model = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    model.addFile('generation_config.json', '{"eos_token_id": "</s>"}');
    expect(await refusalOf(() => run(model, [1], { maxTokens: 2 }))).toBe(
      'model, generation_config.json: expected eos_token_id to be a token id or a list of them, found "</s>"',
    );
  });

  it('the same seed gives the same tokens, another one others', async () => {
    const llama = await MemoryModel.of(join(FIXTURES, 'llama'));
    const drawn = async (seed: number) =>
      (await run(llama, [1, 2], { maxTokens: 20, temperature: 1, seed, endTokens: [] })).tokens;
    expect(await drawn(7)).toEqual(await drawn(7));
    expect(await drawn(8)).not.toEqual(await drawn(7));
  });

  it.each([
    ['gpt2', [], {}, /the prompt is empty/],
    ['gpt2', [1, 97], {}, /found 97 in the prompt/],
    ['gpt2', Array(33).fill(1), {}, /33 tokens exceed the context of 32/],
    ['gpt2', 'text', {}, /has no tokenizer/],
    ['roberta', [1, 2], {}, /masked language model/],
    ['gpt2', [1], { temperature: -1 }, /temperature of 0 or more, found -1/],
    ['gpt2', [1], { topK: 0 }, /top-k to be a positive integer, found 0/],
    ['gpt2', [1], { topP: 1.5 }, /top-p to be above 0 and at most 1, found 1.5/],
    ['gpt2', [1], { maxTokens: 0 }, /positive number of tokens, found 0/],
  ])('%s refuses in one line what it cannot do (%#)', async (name, prompt, options, expected) => {
    const model = await MemoryModel.of(join(FIXTURES, name));
    expect(await refusalOf(() => run(model, prompt, options))).toMatch(expected);
  });
});

describe('weightpress generate', () => {
  const place = temporary();
  const output = async (...args: string[]) => {
    let written = '';
    const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      written += text;
      return true;
    });
    await generateCommand()
      .parseAsync(args, { from: 'user' })
      .finally(() => spy.mockRestore());
    return written;
  };

  it('writes the prompt and its continuation', async () => {
    const json = JSON.parse(await output(TINY, 'He said', '--tokens', '12', '--json'));
    expect(json).toMatchObject({ model: TINY, stopped: 'length' });
    expect(json.tokens.length).toBe(12);
    expect(await output(TINY, 'He said', '--tokens', '12')).toBe(`He said${json.text}\n`);
  });

  it('--chat and --system ask through the chat template, and write the answer alone', async () => {
    const folder = join(place, 'chat');
    cpSync(TINY, folder, { recursive: true });
    const template = '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}answer:';
    writeFileSync(join(folder, 'chat_template.jinja'), template);
    const text = 'system: Be brief.\nuser: Who is it?\nanswer:';
    const plain = JSON.parse(await output(folder, text, '--tokens', '6', '--json'));
    const asked = (...args: string[]) => output(folder, 'Who is it?', '--tokens', '6', ...args);
    expect(await asked('--system', 'Be brief.')).toBe(`${plain.text}\n`);
    const brief = JSON.parse(await asked('--chat', '--json'));
    expect(brief.promptTokens).toBeLessThan(plain.promptTokens);
  });

  it('draws with a seed', async () => {
    const drawn = (seed: string) =>
      output(TINY, 'He said', '--tokens', '12', '--temperature', '0.9', '--top-p', '0.9', '--seed', seed);
    expect(await drawn('4')).toBe(await drawn('4'));
    expect(await drawn('5')).not.toBe(await drawn('4'));
  });
});

describe('drawing a token', () => {
  const probabilities = [0.1, 0.4, 0.2, 0.3];
  const logits = Float32Array.from(probabilities, Math.log);
  const shares = (sampling: Parameters<typeof sample>[1], draws = 20_000) => {
    const random = randomNumbers(3);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < draws; i++) counts[sample(logits, sampling, random)]!++;
    return counts.map((count) => count / draws);
  };
  const close = (found: number[], expected: number[]) =>
    found.forEach((share, i) => {
      expect(Math.abs(share - expected[i]!)).toBeLessThan(0.015);
      if (expected[i] === 0) expect(share).toBe(0);
    });

  it('temperature 0 takes the most probable', () => {
    expect(shares({ temperature: 0 }, 10)).toEqual([0, 1, 0, 0]);
  });
  it('temperature 1 follows the probabilities', () => {
    close(shares({ temperature: 1 }), probabilities);
  });
  it('a lower temperature sharpens them', () => {
    close(
      shares({ temperature: 0.5 }),
      probabilities.map((p) => p ** 2 / 0.3),
    );
  });
  it('top-k keeps the k most probable', () => {
    close(shares({ temperature: 1, topK: 2 }), [0, 4 / 7, 0, 3 / 7]);
  });
  it('top-p keeps the fewest that reach p', () => {
    close(shares({ temperature: 1, topP: 0.69 }), [0, 4 / 7, 0, 3 / 7]);
    close(shares({ temperature: 1, topP: 0.71 }), [0, 4 / 9, 2 / 9, 3 / 9]);
    close(shares({ temperature: 1, topP: 0.01 }), [0, 1, 0, 0]);
  });
});
