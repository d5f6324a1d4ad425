// GGUF files in llama.cpp's types: what is in them, how large they are, what they say of themselves, and what is refused.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { elementCount } from '../src/core/dtype.js';
import { readFloats } from '../src/core/floats.js';
import { originalBytes } from '../src/core/model.js';
import { sumOf } from '../src/core/sum.js';
import { evaluate } from '../src/evaluation/node/run.js';
import { GGUF_MIXTURES, quantizeGguf } from '../src/index.js';
import { openFile } from '../src/io/node/file.js';
import { readGgufHeader } from '../src/models/gguf/header.js';
import { MIXTURES } from '../src/models/gguf/mixtures.js';
import { openModel } from '../src/open/open.js';
import type { QuantizeOptions } from '../src/operations/quantize/options.js';
import type { QuantizedGguf } from '../src/operations/quantize/quantize.js';
import { readRecord } from '../src/operations/quantize/record.js';
import { type CalibrationSource, heldOutOf } from '../src/quantization/calibration/calibrate.js';
import { FAMILIES } from './helpers/fixtures.js';
import { asModel, TINY_TOKENIZER, tinyModel, withTokenizer } from './helpers/gguf.js';
import { llama, logProbabilities, probabilitiesThere } from './helpers/llama-cpp.js';
import { largestDifference, logitsOf, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { needs } from './helpers/needs.js';
import { folder } from './helpers/safetensors.js';

afterAll(() => llama?.dispose());

const NEEDS_LLAMA = needs(llama, 'a build of llama.cpp for this system');
const TEXT = readFileSync('examples/held-out.txt', 'utf8');

/** Models of one layer whose rows are whole blocks of 256. */
const WHOLE = { hidden_size: 256, n_embd: 256, intermediate_size: 256, num_hidden_layers: 1, n_layer: 1 };
const whole = (name: string) => withTokenizer(tinyModel(name, WHOLE));

/** A smaller one, of which only the down-projections' rows are. */
const mixed = () => withTokenizer(tinyModel('llama', { intermediate_size: 256 }));

// statistics of each model are kept apart from the files, whose folder has nothing else
const place = folder();
const kept = folder();
const at = (name: string) => join(place, name);
const textOf = (name: string): CalibrationSource => ({
  text: TEXT,
  name: 'held out of the text',
  tokens: 4096,
  statisticsPath: join(kept, `${name}.statistics`),
});

/** Runs on one thread, which is the fastest for small matrices. */
const quantize = (memory: MemoryModel, output: string, options: Partial<QuantizeOptions>) =>
  quantizeGguf(asModel(memory), at(output), { to: 'Q4_K_M', threads: 1, force: true, ...options });

/** The floats of all tensors, by the Hub's names. */
async function floatsOf(path: string): Promise<Map<string, Float32Array>> {
  await using model = await openModel(path);
  const floats = new Map<string, Float32Array>();
  for (const tensor of model.tensors) floats.set(tensor.name, (await readFloats(model, tensor)).slice());
  return floats;
}

/** The divergence of a file from the model on the text that is held out for it. */
async function divergenceOf(path: string, memory: MemoryModel, text: CalibrationSource) {
  const heldOut = await heldOutOf(asModel(memory), text);
  if (heldOut.kind !== 'tokens') throw new Error('expected tokens');
  const { tokens, window, maskToken } = heldOut;
  await using model = await openModel(path);
  return await evaluate(model, { tokens, window, maskToken, against: asModel(memory) });
}

const klOf = ({ quality }: QuantizedGguf): number => (quality as { kl: { mean: number } }).kl.mean;

/** Bits of the bytes of all tensors per weight. */
const bitsOf = ({ tensors }: QuantizedGguf) =>
  (sumOf(tensors, ({ bytes }) => bytes) * 8) / sumOf(tensors, ({ weights }) => weights);

async function headerOf(path: string) {
  const source = await openFile(path);
  const header = await readGgufHeader(source);
  await source.close();
  return header;
}

const digestOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

const PROMPT = [46, 57, 37, 43, 55, 16, 91, 63, 80, 24];
/** llama.cpp's products round activations to 8 bits, whatever the weights' type. */
const KL_OF_ACTIVATIONS = 4e-3;

/** The divergence of llama.cpp's probabilities from those of the same file here. */
async function divergenceThere(path: string): Promise<number> {
  await using model = await openModel(path);
  const here = logProbabilities(await logitsOf(model, [PROMPT]), PROMPT.length);
  const there = await probabilitiesThere(path, PROMPT, { exact: true });
  expect(there.length).toBe(here.length);
  return here.reduce((sum, log, i) => sum + Math.exp(log) * (log - there[i]!), 0) / PROMPT.length;
}

describe('in llama.cpp', () => {
  const TYPES = ['Q4_K_M', 'Q3_K_M', 'Q2_K', 'IQ4_XS', 'Q6_K', 'Q4_0', 'Q5_0', 'Q8_0'] as const;
  const CASES = ['llama', 'qwen2', 'gpt2'].flatMap((name) => TYPES.map((to) => [name, to] as const));

  it.each(CASES)('%s in %s: the same probabilities', { ...NEEDS_LLAMA, tags: 'slow' }, async (name, to) => {
    await quantize(whole(name), 'there.gguf', { to, calibration: false });
    expect(await divergenceThere(at('there.gguf'))).toBeLessThan(KL_OF_ACTIVATIONS);
  });
});

describe('every way that GGUF has elements in another order', () => {
  const YARN = { rope_type: 'yarn', rope_theta: 300, factor: 4, original_max_position_embeddings: 256 };
  const { vocab, merges } = TINY_TOKENIZER.model;
  const TOKENIZER = {
    ...TINY_TOKENIZER,
    model: { type: 'BPE', merges, vocab: Object.fromEntries(Object.entries(vocab).slice(0, 96)) },
  };
  const CASES: Readonly<Record<string, object>> = {
    bloom: {},
    deepseek_v3: { rms_norm_eps: 1e-6, rope_parameters: { ...YARN, mscale: 0.6, mscale_all_dim: 0.6 } },
    falcon: {},
    gemma3_text: { query_pre_attn_scalar: 8 },
    gpt2: {},
    gpt_oss: { rope_parameters: YARN },
    granitemoe: {},
    lfm2: {},
    llama_bias: {},
    mixtral: {},
  };
  const family = async (name: string) => {
    const memory = withTokenizer(await MemoryModel.of(join(FAMILIES, name)), TOKENIZER);
    Object.assign(memory.config, CASES[name]);
    return memory;
  };

  /** The largest relative error of a tensor. */
  async function errorOf(memory: MemoryModel, path: string): Promise<number> {
    const found = await floatsOf(path);
    expect([...found.keys()].sort()).toEqual([...memory.byName.keys()].sort());
    const errors = [...found].map(([name, floats]) => {
      const own = memory.floats(name);
      expect(floats.length).toBe(own.length);
      const error = floats.reduce((sum, value, i) => sum + (value - own[i]!) ** 2, 0);
      return Math.sqrt(error / own.reduce((sum, value) => sum + value ** 2, 0));
    });
    return Math.max(...errors);
  }

  it.each(Object.keys(CASES))('%s: weights close to the model', async (name) => {
    const memory = await family(name);
    await quantize(memory, 'close.gguf', { to: 'Q8_0', calibration: false });
    expect(await errorOf(memory, at('close.gguf'))).toBeLessThan(1e-2);
  });

  it.each(Object.keys(CASES).filter((name) => name !== 'bloom'))(
    '%s: calibration pays',
    { tags: 'slow' },
    async (name) => {
      const memory = await family(name);
      const text = textOf(name);
      const calibrated = await quantize(memory, 'a.gguf', { calibration: text });
      await quantize(memory, 'b.gguf', { calibration: false });
      expect(await errorOf(memory, at('b.gguf'))).toBeLessThan(0.08);
      const plain = await divergenceOf(at('b.gguf'), memory, text);
      expect(klOf(calibrated)).toBeLessThan(0.8 * plain.kl!.mean);
      expect(await errorOf(memory, at('a.gguf'))).toBeLessThan(0.15);
    },
  );
});

describe('a file of a mixture', () => {
  const memory = mixed();
  const text = textOf('mixed');
  let made: QuantizedGguf;
  beforeAll(async () => {
    made = await quantize(memory, 'mixture.gguf', {
      calibration: text,
      saveImatrix: at('saved.imatrix.gguf'),
    });
  });

  it('has the size that is said, and no other file is left', async () => {
    expect(made.bytes).toBe(statSync(at('mixture.gguf')).size);
    const { tensors } = await headerOf(at('mixture.gguf'));
    expect(tensors.map(({ name, type, shape }) => [name, type.name, elementCount(shape)])).toEqual(
      made.tensors.map(({ name, type, weights }) => [name, type, weights]),
    );
    expect(made.fallbacks.length).toBeGreaterThan(0);
    expect(readdirSync(place).filter((name) => /partial|statistics/.test(name))).toEqual([]);
  });

  it('says how it was made, and the loss that is measured on it', async () => {
    const { metadata } = await headerOf(at('mixture.gguf'));
    const record = readRecord(metadata, 'mixture.gguf')!;
    expect(metadata.get('general.file_type')).toBe(
      MIXTURES[GGUF_MIXTURES.find((name) => name === 'Q4_K_M')!].fileType,
    );
    expect(record.types).toBe('Q4_K_M');
    expect(record.generator).toMatch(/^weightpress \d/);
    expect(record.calibration).toEqual({
      text: 'the text',
      sha256: createHash('sha256').update(TEXT).digest('hex'),
      tokens: 4096,
    });
    expect(record.quality).toEqual(JSON.parse(JSON.stringify(made.quality)));
    const { kl, perplexity, top1 } = await divergenceOf(at('mixture.gguf'), memory, text);
    expect(record.quality).toMatchObject({ kl, perplexity, top1, text: { name: 'held out of the text' } });
    expect(kl!.mean).toBeGreaterThan(1e-3);
  });

  it('is the same on any number of threads, with statistics that were saved or not', async () => {
    const digest = digestOf(at('mixture.gguf'));
    const { statisticsPath: _, ...fresh } = text;
    for (const [threads, calibration] of [
      [2, fresh],
      [3, text],
    ] as const) {
      await quantize(memory, 'again.gguf', { threads, calibration, saveImatrix: at('saved.dat') });
      expect(digestOf(at('again.gguf'))).toBe(digest);
    }
  });

  it('has the same tensors in whatever order the model has them', async () => {
    const turned = new MemoryModel(memory.config, new Map([...memory.byName].reverse()));
    for (const { name } of memory.sideFiles) turned.addFile(name, await contentOf(memory, name));
    await quantize(turned, 'turned.gguf', { calibration: { ...text, statisticsPath: undefined } });
    const [one, other] = [await floatsOf(at('mixture.gguf')), await floatsOf(at('turned.gguf'))];
    expect([...other.keys()]).not.toEqual([...one.keys()]);
    for (const [name, floats] of one)
      expect([name, largestDifference(floats, other.get(name)!)]).toEqual([name, 0]);
  });

  it('loses less than one by the importance matrix that was saved, and that less than plain rounding', async () => {
    const imatrix = at('saved.imatrix.gguf');
    const byImatrix = await quantize(memory, 'imatrix.gguf', { imatrix, calibration: text });
    const plain = await quantize(memory, 'plain.gguf', { calibration: false });
    expect(plain.quality).toBeUndefined();
    const { kl } = await divergenceOf(at('plain.gguf'), memory, text);
    expect(klOf(byImatrix)).toBeLessThan(kl!.mean);
    expect(klOf(made)).toBeLessThan(klOf(byImatrix));
    const { metadata } = await headerOf(at('imatrix.gguf'));
    expect(readRecord(metadata, 'imatrix.gguf')!.calibration).toEqual({
      imatrix: 'saved.imatrix.gguf',
      datasets: ['the text'],
      tokens: 4096,
    });
    expect(readRecord((await headerOf(at('plain.gguf'))).metadata, '')).toMatchObject({
      types: 'Q4_K_M',
      calibration: undefined,
      quality: undefined,
    });
  });

  it('an importance matrix in the older format is the same', async () => {
    const digests = [];
    for (const name of ['saved.imatrix.gguf', 'saved.dat']) {
      await quantize(memory, 'x.gguf', { to: 'Q2_K', calibration: false, imatrix: at(name) });
      digests.push(await floatsOf(at('x.gguf')));
    }
    const [gguf, dat] = digests as [Map<string, Float32Array>, Map<string, Float32Array>];
    for (const [name, floats] of gguf) {
      const other = dat.get(name)!;
      // sums are divided by other numbers, and few codes may differ
      expect(floats.filter((value, i) => value !== other[i]).length).toBeLessThan(floats.length / 20);
    }
  });

  it('the last rule that matches decides a type', async () => {
    const { tensors } = await quantize(memory, 'rules.gguf', {
      to: 'Q8_0',
      calibration: false,
      types: [
        { pattern: /ffn_/, type: 'Q4_1' },
        { pattern: /ffn_down/, type: 'Q6_K' },
        { pattern: /norm|token_embd/, type: 'Q4_0' },
      ],
    });
    const types = Object.fromEntries(tensors.map(({ name, type }) => [name, type]));
    expect(types).toMatchObject({
      'blk.0.ffn_up.weight': 'Q4_1',
      'blk.0.ffn_down.weight': 'Q6_K',
      'blk.0.attn_q.weight': 'Q8_0',
      'token_embd.weight': 'Q4_0',
      'blk.0.attn_norm.weight': 'F32',
      'output_norm.weight': 'F32',
    });
  });

  it('rows that are not whole blocks: another type, which is listed', async () => {
    const { fallbacks, tensors } = await quantize(withTokenizer(tinyModel('llama')), 'narrow.gguf', {
      calibration: false,
      types: [{ pattern: /blk\.1\.attn_k/, type: 'Q2_K' }],
    });
    const given = fallbacks.map(({ name, wanted, given }) => `${name} ${wanted} ${given}`);
    expect(given).toContain('blk.0.attn_q.weight Q4_K Q5_0');
    expect(given).toContain('blk.1.attn_v.weight Q6_K Q8_0');
    expect(given).toContain('blk.1.attn_k.weight Q2_K Q4_0');
    for (const { name, given } of fallbacks)
      expect(tensors.find((own) => own.name === name)!.type).toBe(given);
    // 72 is no multiple of 32
    const odd = await quantize(
      withTokenizer(tinyModel('llama', { intermediate_size: 72, num_hidden_layers: 1 })),
      'odd.gguf',
      { to: 'Q8_0', calibration: false },
    );
    expect(odd.fallbacks).toEqual([{ name: 'blk.0.ffn_down.weight', wanted: 'Q8_0', given: 'F16' }]);
  });
});

describe('a file within a budget', () => {
  const memory = mixed();
  const text = textOf('mixed');
  const within = (to: QuantizeOptions['to'], more: Partial<QuantizeOptions> = {}) =>
    quantize(memory, 'within.gguf', { to, calibration: text, ...more });
  /** The message of a budget that cannot be met, which writes nothing. */
  const refused = async (to: QuantizeOptions['to']) => {
    const message = await refusalOf(() => quantize(memory, 'none.gguf', { to, calibration: text }));
    expect(existsSync(at('none.gguf'))).toBe(false);
    return message;
  };

  describe('--bits', () => {
    let made: QuantizedGguf;
    beforeAll(async () => {
      made = await within({ bits: 5 });
    });

    it('at most that many, and nearly', async () => {
      expect(bitsOf(made)).toBeLessThanOrEqual(5);
      expect(bitsOf(made)).toBeGreaterThan(5 * 0.98);
      const { metadata } = await headerOf(at('within.gguf'));
      expect(readRecord(metadata, '')!.types).toBe('--bits 5');
    });

    it('in llama.cpp: the same probabilities', NEEDS_LLAMA, async () => {
      expect(new Set(made.tensors.map(({ type }) => type)).size).toBeGreaterThan(3);
      expect(await divergenceThere(at('within.gguf'))).toBeLessThan(KL_OF_ACTIVATIONS);
    });
  });

  it('--size, --ratio: all bytes counted, and less loss than in a mixture of as many', async () => {
    const mixture = await quantize(memory, 'other.gguf', { to: 'Q4_K_M', calibration: text });
    const made = await within({ size: mixture.bytes });
    expect(statSync(at('within.gguf')).size).toBe(made.bytes);
    expect(made.bytes).toBeLessThanOrEqual(mixture.bytes);
    expect(made.bytes).toBeGreaterThan(mixture.bytes * 0.98);
    expect(klOf(made)).toBeLessThan(klOf(mixture));
    const ratio = originalBytes(asModel(memory)) / mixture.bytes;
    const { bytes } = await within({ ratio });
    expect(bytes).toBeLessThanOrEqual(mixture.bytes);
    expect(bytes).toBeGreaterThan(mixture.bytes * 0.98);
  });

  it('--size below the smallest file, which is named and can be made', async () => {
    const message = await refused({ size: 50_000 });
    const [, limit, smallest] = /allows (\d+) bytes, and the smallest file of these types has (\d+)$/.exec(
      message,
    )!;
    expect(limit).toBe('50000');
    expect((await within({ size: Number(smallest) })).bytes).toBe(Number(smallest));
  });

  it('--kl: measured, at most that; tensors are those of a file that is made at once', async () => {
    const made = await within({ kl: 0.003 });
    expect(klOf(made)).toBeLessThanOrEqual(0.003);
    expect(klOf(made)).toBeGreaterThan(0.003 * 0.75);
    const types = made.tensors
      .filter(({ type }) => type !== 'F32')
      .map(({ name, type }) => ({ pattern: new RegExp(`^${name}$`), type: type as 'Q8_0' }));
    const other = await quantize(memory, 'once.gguf', { to: 'Q8_0', types, calibration: text });
    expect(klOf(other)).toBe(klOf(made));
    const [one, again] = [await floatsOf(at('within.gguf')), await floatsOf(at('once.gguf'))];
    for (const [name, floats] of one)
      expect([name, largestDifference(floats, again.get(name)!)]).toEqual([name, 0]);
  });

  it('--kl that no types reach: the divergence of the best ones is named', { tags: 'slow' }, async () => {
    const message = await refused({ kl: 1e-9 });
    const best = await quantize(memory, 'best.gguf', { to: 'Q8_0', calibration: text });
    expect(message).toBe(
      `model: the divergence cannot be brought to 1e-9: with the best types of llama.cpp it is ${klOf(best).toPrecision(3)}`,
    );
  });

  it('rules are kept, also of types that have no blocks, or whose blocks do not fit', async () => {
    const narrow = withTokenizer(tinyModel('llama', { num_hidden_layers: 1 }));
    const { tensors, fallbacks } = await quantize(narrow, 'within.gguf', {
      to: { bits: 6 },
      calibration: textOf('narrow'),
      types: [
        { pattern: /attn_v/, type: 'F16' },
        { pattern: /attn_k/, type: 'Q4_K' },
        { pattern: /attn_q/, type: 'Q8_0' },
      ],
    });
    const types = Object.fromEntries(tensors.map(({ name, type }) => [name, type]));
    expect(types).toMatchObject({
      'blk.0.attn_v.weight': 'F16',
      'blk.0.attn_k.weight': 'Q5_0',
      'blk.0.attn_q.weight': 'Q8_0',
    });
    expect(fallbacks).toEqual([{ name: 'blk.0.attn_k.weight', wanted: 'Q4_K', given: 'Q5_0' }]);
  });

  it('an attempt that is aborted leaves none of the files before it', async () => {
    const controller = new AbortController();
    let attempts = 0;
    let before = '';
    const onProgress: QuantizeOptions['onProgress'] = ({ stage }) => {
      if (stage === before) return;
      before = stage;
      if (stage === 'quantizing' && ++attempts === 2) controller.abort(new Error('stop'));
    };
    const options = { signal: controller.signal, onProgress };
    await expect(within({ kl: 0.003 }, options)).rejects.toThrow('stop');
    expect(attempts).toBe(2);
  });

  afterEach(() => {
    expect(readdirSync(place).filter((name) => /partial|statistics/.test(name))).toEqual([]);
  });
});

async function contentOf(memory: MemoryModel, name: string): Promise<Uint8Array> {
  return memory.sideFiles.find((file) => file.name === name)!.read();
}
