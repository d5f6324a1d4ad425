import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFloats } from '../src/core/floats.js';
import type { Model } from '../src/core/model.js';
import { evaluate, generate, isInputError } from '../src/index.js';
import { inverse, LastSlice, swapAxes } from '../src/models/gguf/axes.js';
import { readGgufHeader } from '../src/models/gguf/header.js';
import { writeGgufHeader } from '../src/models/gguf/header-writer.js';
import { openGguf } from '../src/models/gguf/model.js';
import { quantizeQ8 } from '../src/models/gguf/quantize.js';
import { typeNamed } from '../src/models/gguf/types.js';
import { openModel } from '../src/open/open.js';
import { writeGguf } from '../src/operations/export/gguf.js';
import { planGguf } from '../src/operations/export/gguf-plan.js';
import { loadTokenizer } from '../src/tokenizer/tokenizer.js';
import { FIXTURES } from './helpers/fixtures.js';
import { asModel, TINY_CONFIGS, TINY_TOKENIZER, tinyModel, withTokenizer } from './helpers/gguf.js';
import { expectedOf, largestDifference, logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { CountingSource, folder } from './helpers/safetensors.js';

type Options = NonNullable<Parameters<typeof writeGguf>[2]>;
const place = folder();
let files = 0;

/** Writes a model. */
async function written(model: MemoryModel, options: Options = {}) {
  const path = join(place, `${files++}.gguf`);
  await writeGguf(asModel(model), path, options);
  return { path, source: new CountingSource(path, readFileSync(path)) };
}

/** Writes a model and opens what was written. */
async function thereAndBack(model: MemoryModel, options: Options = {}): Promise<Model> {
  return openModel((await written(model, options)).path);
}

const floatsOf = (model: Model, name: string) =>
  readFloats(model, model.tensors.find((tensor) => tensor.name === name)!);

/** The largest difference in shares of each tensor's largest weight, over the tensors that both have. */
async function worstOf(before: Model, after: Model): Promise<number> {
  let worst = 0;
  for (const { name, shape } of after.tensors) {
    const [own, other] = [await floatsOf(before, name), await floatsOf(after, name)];
    expect(shape).toEqual(before.tensors.find((tensor) => tensor.name === name)!.shape);
    worst = Math.max(worst, largestDifference(own, other) / Math.max(...own.map(Math.abs)));
  }
  return worst;
}

const ROUNDING = { F32: 0, F16: 2 ** -11, BF16: 2 ** -8, Q8_0: 0.5 / 127 + 2 ** -11 };
const TYPES = Object.keys(ROUNDING) as (keyof typeof ROUNDING)[];
const PROMPT = [46, 57, 37, 43, 55, 16, 91];

describe.each(Object.keys(TINY_CONFIGS))('%s, written and read', (name) => {
  it.each(TYPES)('as %s: the same names, shapes and weights, and what they generate', async (type) => {
    const model = tinyModel(name);
    const opened = await thereAndBack(model, { type });
    expect(opened.kind).toBe('gguf');
    expect(opened.tensors.map((tensor) => tensor.name).sort()).toEqual([...model.byName.keys()].sort());
    expect(await worstOf(asModel(model), opened)).toBeLessThanOrEqual(ROUNDING[type]);
    const { tokens } = await generate(opened, PROMPT, { maxTokens: 8 });
    if (type === 'F32')
      expect(tokens).toEqual((await generate(asModel(model), PROMPT, { maxTokens: 8 })).tokens);
    else expect(tokens.length).toBeGreaterThan(0);
    await opened.close();
  });

  it('its config equals the original', async () => {
    const model = await thereAndBack(tinyModel(name));
    const { n_inner, ...said } = TINY_CONFIGS[name]!;
    expect(model.config).toMatchObject(said);
    if (n_inner === null) expect(model.config).toMatchObject({ n_inner: 256 });
    await model.close();
  });

  it('any range of any tensor is what stands there in the whole', async () => {
    const model = await thereAndBack(tinyModel(name), { type: 'Q8_0' });
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), fc.nat(), async (which, a, b) => {
        const { name: tensor, lengthBytes } = model.tensors[which % model.tensors.length]!;
        const [start, end] = [a % (lengthBytes + 1), b % (lengthBytes + 1)].sort((x, y) => x - y);
        const whole = await model.readTensor(tensor);
        expect(await model.readTensor(tensor, start, end)).toEqual(whole.slice(start, end));
      }),
      { seed: 11, numRuns: 100 },
    );
    await model.close();
  });
});

describe('the logits of the reference implementation', () => {
  it.each(Object.keys(TINY_CONFIGS))('%s, from its GGUF file', async (name) => {
    const { inputs, logits } = expectedOf(name);
    const model = await thereAndBack(await MemoryModel.of(join(FIXTURES, name)), { type: 'F32' });
    expect(largestDifference(await logitsOf(model, inputs), logits)).toBeLessThan(1e-3);
    await model.close();
  });
});

it('text is evaluated with the tokenizer in the file', async () => {
  const model = await thereAndBack(withTokenizer(tinyModel('llama')), { type: 'F32' });
  const text = 'the quick brown fox jumps over the lazy dog. '.repeat(8);
  const original = withTokenizer(tinyModel('llama'));
  const there = await evaluate(model, { text });
  expect(there.perplexity).toBe((await evaluate(asModel(original), { text })).perplexity);
  await model.close();
});

describe('what is read of a file', () => {
  it('of one block of weights, that block', async () => {
    const { source } = await written(tinyModel('qwen2'), { type: 'Q8_0' });
    const model = await openGguf('a.gguf', source);
    const before = source.bytesRead;
    await model.readTensor('model.layers.0.mlp.up_proj.weight', 4 * 64, 4 * 64 + 4);
    expect(source.bytesRead - before).toBe(34);
  });

  it('to open it, the header and no weights', async () => {
    const { source } = await written(tinyModel('gpt2'), { type: 'F32' });
    const { dataStart } = await readGgufHeader(source);
    source.ranges.length = 0;
    await openGguf('a.gguf', source);
    expect(source.ranges.length).toBe(1); // a first piece of 256 KiB, which holds this header
    expect(dataStart).toBeLessThan(2 ** 18);
  });
});

/** The obvious way: element by element. */
function swapped(bytes: Uint8Array, [outer, first, second]: readonly number[]): Uint8Array {
  const run = bytes.length / (outer! * first! * second!);
  const out = new Uint8Array(bytes.length);
  for (let o = 0; o < outer!; o++)
    for (let i = 0; i < first!; i++)
      for (let j = 0; j < second!; j++)
        for (let r = 0; r < run; r++)
          out[((o * second! + j) * first! + i) * run + r] =
            bytes[((o * first! + i) * second! + j) * run + r]!;
  return out;
}

it('axes are swapped as element by element, runs short and long, and swapped back', async () => {
  const axis = fc.integer({ min: 1, max: 5 });
  const run = fc.constantFrom(1, 2, 3, 4, 8, 20, 4095, 4096, 5000);
  await fc.assert(
    fc.asyncProperty(axis, axis, axis, run, fc.nat(), fc.nat(), async (outer, first, second, run, a, b) => {
      const swap = [outer, first, second, 1] as const;
      const bytes = Uint8Array.from({ length: outer * first * second * run }, (_, i) => (i * 37) ^ (i >> 8));
      const read = async (start: number, end: number) => bytes.slice(start, end);
      const there = swapAxes(read, bytes.length, swap, new LastSlice());
      const back = swapAxes(there, bytes.length, inverse(swap), new LastSlice());
      const [start, end] = [a % (bytes.length + 1), b % (bytes.length + 1)].sort((x, y) => x - y) as [
        number,
        number,
      ];
      expect(Buffer.compare(await there(start, end), swapped(bytes, swap).slice(start, end))).toBe(0);
      expect(Buffer.compare(await back(start, end), bytes.slice(start, end))).toBe(0);
    }),
    { seed: 3, numRuns: 150 },
  );
});

describe('Q8_0', () => {
  it('a block by hand: the largest becomes 127, halves go away from zero', () => {
    const values = new Float32Array(32);
    values.set([127, -127, 0.5, -0.5, 1.5, -1.5, 0.49, 64]);
    const block = quantizeQ8(values);
    expect([...block.subarray(0, 2)]).toEqual([0, 0x3c]); // 1 in float16
    expect([...new Int8Array(block.buffer, 2, 9)]).toEqual([127, -127, 1, -1, 2, -2, 0, 64, 0]);
  });

  it("the very bytes of ggml's own quantizer (gguf 0.19.0, quants.quantize)", () => {
    let x = 12345;
    const values = Float32Array.from({ length: 1024 }, () => {
      x = (Math.imul(1664525, x) + 1013904223) >>> 0;
      return ((x - 2 ** 31) / 2 ** 31) * 0.1;
    }).fill(0, 32, 64);
    expect(createHash('sha256').update(quantizeQ8(values)).digest('hex')).toBe(
      '8f3f7b1a308700afee70b20b7d58e171b3341fb0951e0f2cefda67bb2ccb89f2',
    );
  });
});

describe('the tokenizer', () => {
  const split = (digits: string) => ({
    type: 'Sequence',
    pretokenizers: [
      {
        type: 'Split',
        pattern: {
          Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
        },
        behavior: 'Isolated',
        invert: false,
      },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  });
  const PRE_TOKENIZERS = {
    'gpt-2': TINY_TOKENIZER.pre_tokenizer,
    dbrx: split('\\p{N}{1,3}'),
    'llama-bpe': split('\\p{N}{1,3}'),
    qwen2: split('\\p{N}'),
    smollm: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Digits', individual_digits: true }, TINY_TOKENIZER.pre_tokenizer],
    },
  };
  const TEXT = "the other 12345 things, isn't it?\n\n  That's\tTHE end...<|endoftext|>";

  it.each(Object.entries(PRE_TOKENIZERS))(
    'that cuts texts as %s gives the same ids',
    async (pre, pre_tokenizer) => {
      const first = {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '<|endoftext|>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
        ],
        pair: [],
        special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [0], tokens: ['<|endoftext|>'] } },
      };
      for (const post_processor of [null, first]) {
        const original = withTokenizer(tinyModel('llama'), {
          ...TINY_TOKENIZER,
          pre_tokenizer,
          post_processor,
          model: { ...TINY_TOKENIZER.model, ignore_merges: pre === 'llama-bpe' },
        });
        const model = await thereAndBack(original);
        const { metadata } = await readGgufHeader((await written(original)).source);
        expect(metadata.get('tokenizer.ggml.pre')).toBe(pre);
        const [before, after] = [await loadTokenizer(asModel(original)), await loadTokenizer(model)];
        expect(after.encode(TEXT, true)).toEqual(before.encode(TEXT, true));
        expect(after.decode(after.encode(TEXT))).toBe(before.decode(before.encode(TEXT)));
        await model.close();
      }
    },
  );

  it('ids that it leaves out are marked as unused', async () => {
    const { source } = await written(withTokenizer(tinyModel('llama', { vocab_size: 100 })));
    const { metadata } = await readGgufHeader(source);
    expect((metadata.get('tokenizer.ggml.tokens') as string[]).slice(96)).toEqual([
      '}',
      '[PAD97]',
      '[PAD98]',
      '[PAD99]',
    ]);
    expect((metadata.get('tokenizer.ggml.token_type') as number[]).slice(96)).toEqual([1, 5, 5, 5]);
  });

  it.each([
    [
      'words',
      { ...TINY_TOKENIZER, model: { type: 'WordLevel', vocab: {} } },
      /expected BPE, Unigram or WordPiece/,
    ],
    ['an unknown cut', { ...TINY_TOKENIZER, pre_tokenizer: { type: 'Whitespace' } }, /unknown pre_tokenizer/],
    [
      'an id too many',
      {
        ...TINY_TOKENIZER,
        model: { ...TINY_TOKENIZER.model, vocab: { ...TINY_TOKENIZER.model.vocab, zz: 97 } },
      },
      /"zz" has id 97, vocabulary of 97/,
    ],
    [
      'a merge of three',
      { ...TINY_TOKENIZER, model: { ...TINY_TOKENIZER.model, merges: ['t h e'] } },
      /pairs of tokens/,
    ],
  ])('%s is refused', async (_, tokenizer, message) => {
    expect(await refusalOf(() => thereAndBack(withTokenizer(tinyModel('llama'), tokenizer)))).toMatch(
      message,
    );
  });

  it('does not convert other kinds, and reports it', async () => {
    const path = join(place, 'rwkv.gguf');
    writeFileSync(path, ggufOf([{ key: 'tokenizer.ggml.model', type: 'string', value: 'rwkv' }]));
    const model = await openModel(path);
    expect(await refusalOf(() => loadTokenizer(model))).toMatch(/unsupported tokenizer.*SentencePiece/);
    await model.close();
  });
});

/** A file with this metadata and one matrix of ones. */
function ggufOf(entries: Parameters<typeof writeGgufHeader>[0]): Uint8Array {
  const tensor = { name: 'w', type: typeNamed('F32'), shape: [2, 4], lengthBytes: 32 };
  const ones = new Uint8Array(new Float32Array(8).fill(1).buffer);
  return Buffer.concat([writeGgufHeader(entries, [tensor]), ones]);
}

describe('unsupported models', () => {
  it.each([
    ['another architecture', [{ key: 'general.architecture', type: 'string', value: 'mamba' }]],
    [
      'an adapter',
      [
        { key: 'general.architecture', type: 'string', value: 'llama' },
        { key: 'general.type', type: 'string', value: 'adapter' },
      ],
    ],
  ] as const)('%s has its own names and no config', async (_, entries) => {
    const path = join(place, 'other.gguf');
    writeFileSync(path, ggufOf(entries));
    const model = await openModel(path);
    expect(model.tensors).toMatchObject([{ name: 'w', shape: [2, 4] }]);
    expect(model.config).toBeUndefined();
    await model.close();
  });

  it.each([
    [
      'a part of a split model',
      [{ key: 'split.count', type: 'uint32', value: 3 }],
      /part 1 of 3 of a split model/,
    ],
    [
      'a llama without its numbers',
      [{ key: 'general.architecture', type: 'string', value: 'llama' }],
      /llama\.context_length: expected a positive integer, found nothing/,
    ],
  ] as const)('%s is refused', async (_, entries, message) => {
    const path = join(place, 'refused.gguf');
    writeFileSync(path, ggufOf(entries));
    expect(await refusalOf(() => openModel(path))).toMatch(message);
  });
});

describe('what cannot be written', () => {
  const without = (name: string, tensor: string) =>
    tinyModel(name).rename((own) => (own === tensor ? undefined : own));
  const withNaN = () => {
    const model = tinyModel('llama');
    model.floats('lm_head.weight')[5] = Number.NaN;
    return model;
  };
  it.each([
    [
      'an architecture without a table',
      () => new MemoryModel({ model_type: 'gpt_neo' }, new Map()),
      /gpt_neo/,
    ],
    [
      'another activation',
      () => tinyModel('llama', { hidden_act: 'relu' }),
      /hidden_act silu only, found "relu"/,
    ],
    ['a window', () => tinyModel('qwen2', { use_sliding_window: true }), /use_sliding_window false only/],
    [
      'rotary positions scaled otherwise',
      () => tinyModel('llama', { rope_scaling: { rope_type: 'yarn', factor: 2, beta_fast: 16 } }),
      /yarn only with beta_fast 32/,
    ],
    [
      'heads that do not divide',
      () => tinyModel('llama', { num_key_value_heads: 2, head_dim: 15 }),
      /expected|shape|head size/,
    ],
    [
      'a matrix too few',
      () => without('llama', 'model.layers.1.mlp.up_proj.weight'),
      /layers\.1\.mlp\.up_proj.*missing/,
    ],
    [
      'a tensor too many',
      () => tinyModel('gpt2').set('transformer.extra.weight', [1], new Float32Array(1)),
      /is not used by .*: transformer\.extra\.weight/,
    ],
    ['NaN', withNaN, /lm_head.*element 5 is NaN/],
  ])('%s: one line, and no file', async (_, make, message) => {
    const before = readdirSync(place);
    expect(await refusalOf(() => thereAndBack(make()))).toMatch(message);
    expect(readdirSync(place)).toEqual(before);
  });

  it('an existing file, unless forced', async () => {
    const { path } = await written(tinyModel('gpt2'));
    expect(await refusalOf(() => writeGguf(asModel(tinyModel('gpt2')), path))).toMatch(/already exists/);
    await writeGguf(asModel(tinyModel('gpt2')), path, { force: true });
  });
});

describe('details of the formats', () => {
  it('vectors and position embeddings stay F32, rows that no block fills become F16', async () => {
    const { source } = await written(tinyModel('gpt2', { n_inner: 80 }), { type: 'Q8_0' });
    const types = Object.fromEntries(
      (await readGgufHeader(source)).tensors.map(({ name, type }) => [name, type.name]),
    );
    expect(types).toMatchObject({
      'position_embd.weight': 'F32',
      'blk.0.attn_norm.weight': 'F32',
      'blk.0.attn_qkv.bias': 'F32',
      'blk.0.attn_qkv.weight': 'Q8_0',
      'blk.0.ffn_down.weight': 'F16',
    });
  });

  it('names without the prefix, and buffers, are as checkpoints have them', async () => {
    const bare = tinyModel('gpt2').rename((name) => name.replace('transformer.', ''));
    bare.set('h.0.attn.bias', [1, 1, 4, 4], new Float32Array(16));
    const model = await thereAndBack(bare, { type: 'F32' });
    expect(await worstOf(asModel(tinyModel('gpt2')), model)).toBe(0);
    await model.close();
  });

  it('a tied neox gets the head that llama.cpp asks for', async () => {
    const tied = tinyModel('gpt_neox', { tie_word_embeddings: true });
    const model = await thereAndBack(tied, { type: 'F32' });
    expect(model.config).toMatchObject({ tie_word_embeddings: false });
    expect(await floatsOf(model, 'embed_out.weight')).toEqual(
      await floatsOf(model, 'gpt_neox.embed_in.weight'),
    );
    await model.close();
  });

  it('the license travels', async () => {
    const model = tinyModel('gpt2');
    model.addFile('README.md', '---\nlicense: apache-2.0\n---\n');
    const opened = await thereAndBack(model);
    const card = opened.sideFiles.find(({ name }) => name === 'README.md')!;
    expect(new TextDecoder().decode(await card.read())).toBe('---\nlicense: apache-2.0\n---\n');
    await opened.close();
  });

  it("Llama 3's scaling is told from its factors; other factors are refused", async () => {
    const scaling = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const known = { ...scaling, original_max_position_embeddings: 8192 };
    const model = await thereAndBack(tinyModel('llama', { rope_scaling: known, rope_theta: 5e5 }));
    expect(model.config).toMatchObject({ rope_scaling: known });
    await model.close();
    const other = { ...scaling, high_freq_factor: 2, original_max_position_embeddings: 64 };
    const refused = thereAndBack(tinyModel('llama', { rope_scaling: other }));
    expect(await refusalOf(() => refused)).toMatch(/expected the factors of Llama 3/);
  });

  it('linear scaling is kept', async () => {
    const rope_scaling = { rope_type: 'linear', factor: 4 };
    const model = await thereAndBack(tinyModel('llama', { rope_scaling }));
    expect(model.config).toMatchObject({ rope_scaling });
    await model.close();
  });
});

it('a flipped byte of a whole file is read or refused, nothing else', async () => {
  const { path } = await written(withTokenizer(tinyModel('llama')), { type: 'Q8_0' });
  const bytes = readFileSync(path);
  const { dataStart } = await readGgufHeader(new CountingSource('a.gguf', bytes));
  await fc.assert(
    fc.asyncProperty(fc.nat(dataStart - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const bad = Uint8Array.from(bytes);
      bad[at]! ^= flip;
      try {
        const model = await openGguf('a.gguf', new CountingSource('a.gguf', bad));
        for (const { name } of model.tensors) await model.readTensor(name);
        await loadTokenizer(model);
      } catch (error) {
        if (!isInputError(error)) throw error;
        expect(error.message).not.toMatch(/[\r\n]/);
      }
    }),
    { seed: 23, numRuns: 600 },
  );
});

it('tokens that end a turn are in generation_config.json, beside the one that ends a text', async () => {
  const { entries, tensors } = await planGguf(asModel(tinyModel('llama')), 'F32');
  const end = (which: string, value: number) => ({
    key: `tokenizer.ggml.${which}_token_id`,
    type: 'uint32' as const,
    value,
  });
  const own = entries.filter(({ key }) => !/\.(eos|eot)_token_id$/.test(key));
  const parts = [writeGgufHeader([...own, end('eos', 2), end('eot', 9)], tensors)];
  for (const { pieces } of tensors) for await (const bytes of pieces()) parts.push(bytes);
  const path = join(place, 'turns.gguf');
  writeFileSync(path, Buffer.concat(parts));
  const model = await openModel(path);
  const file = model.sideFiles.find(({ name }) => name === 'generation_config.json')!;
  expect(JSON.parse(new TextDecoder().decode(await file.read()))).toEqual({ eos_token_id: [2, 9] });
  await model.close();
});
