// What cannot be quantized to GGUF says why in one line, and leaves no file; models that llama.cpp does not have can be measured.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readFloats } from '../src/core/floats.js';
import { evaluate } from '../src/evaluation/node/run.js';
import { openModel } from '../src/open/open.js';
import type { QuantizeOptions } from '../src/operations/quantize/options.js';
import { quantizeGguf } from '../src/operations/quantize/quantize.js';
import { type CalibrationSource, heldOutOf } from '../src/quantization/calibration/calibrate.js';
import { complaint, weightpress } from './helpers/cli.js';
import { FAMILIES } from './helpers/fixtures.js';
import { asModel, TINY_TOKENIZER, tinyModel, withTokenizer } from './helpers/gguf.js';
import { largestDifference, refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, safetensors } from './helpers/safetensors.js';

const TEXT: CalibrationSource = {
  text: readFileSync('examples/held-out.txt', 'utf8'),
  name: 'held out of the text',
  tokens: 4096,
};

const place = folder();
const at = (name: string) => join(place, name);

const one = (changes = {}) => withTokenizer(tinyModel('llama', { num_hidden_layers: 1, ...changes }));
const { vocab, merges } = TINY_TOKENIZER.model;
/** The tokenizer of fixtures, which have 96 tokens. */
const TOKENIZER = {
  ...TINY_TOKENIZER,
  model: { type: 'BPE', merges, vocab: Object.fromEntries(Object.entries(vocab).slice(0, 96)) },
};
const family = async (name: string) => withTokenizer(await MemoryModel.of(join(FAMILIES, name)), TOKENIZER);

const quantize = (memory: MemoryModel, options: Partial<QuantizeOptions> = {}, output = 'x.gguf') =>
  quantizeGguf(asModel(memory), at(output), { to: 'Q4_K_M', threads: 1, calibration: false, ...options });

/** Puts a model where a command can read it. */
async function saved(memory: MemoryModel): Promise<string> {
  const path = folder();
  writeFileSync(join(path, 'config.json'), JSON.stringify(memory.config));
  for (const file of memory.sideFiles) writeFileSync(join(path, file.name), await file.read());
  const tensors = [...memory.byName].map(([name, own]) => ({ name, ...own }));
  writeFileSync(join(path, 'model.safetensors'), safetensors(tensors, { format: 'pt' }));
  return path;
}

describe('is refused, and leaves nothing', () => {
  const given = ['imatrix.gguf'];
  beforeAll(async () => {
    await quantize(
      withTokenizer(tinyModel('gpt2')),
      {
        calibration: TEXT,
        saveImatrix: at('imatrix.gguf'),
      },
      'gpt2.gguf',
    );
    given.push('gpt2.gguf');
  });
  afterEach(() => {
    expect(readdirSync(place).sort()).toEqual(given.toSorted());
  });

  it.each<[what: string, options: Partial<QuantizeOptions>, message: RegExp]>([
    [
      'a text that is too short',
      { calibration: { ...TEXT, text: 'short' } },
      /^the calibration text has \d+ tokens, expected at least \d+/,
    ],
    ['a budget without a text', { to: { bits: 4 } }, /^a budget needs a calibration text/],
    [
      'a budget by an importance matrix',
      { to: { bits: 4 }, imatrix: at('imatrix.gguf') },
      /^a budget needs a calibration text/,
    ],
    [
      'two budgets',
      { to: { bits: 4, size: 1e5 }, calibration: TEXT },
      /^expected one budget .* found bits and size$/,
    ],
    ['a negative budget', { to: { size: -1 }, calibration: TEXT }, /^expected a positive size, found -1$/],
    [
      'a cosine of a model that predicts tokens',
      { to: { cosine: 0.9 }, calibration: TEXT },
      /^model: is no embedding model: expected a budget of kl, found cosine$/,
    ],
    ['tuning without a text', { tune: true }, /^tuning needs a calibration text$/],
    ['an importance matrix of nothing', { saveImatrix: at('y.imatrix') }, /which need a calibration text$/],
    [
      'an importance matrix instead of the file',
      { calibration: TEXT, saveImatrix: at('x.gguf') },
      /x\.gguf: the importance matrix has the name of the output$/,
    ],
    [
      "an importance matrix of the checkpoint's names",
      { calibration: TEXT, names: 'checkpoint', saveImatrix: at('y') },
      /has llama\.cpp's names, not the checkpoint's$/,
    ],
    [
      'an importance matrix of another model',
      { imatrix: at('imatrix.gguf') },
      /the importance matrix is of another model: expected \d+ numbers/,
    ],
    [
      'a model for an importance matrix',
      { imatrix: at('gpt2.gguf') },
      /gpt2\.gguf: not an importance matrix: general\.type is "model"$/,
    ],
  ])('%s', async (_, options, message) => {
    const stages: string[] = [];
    const onProgress: QuantizeOptions['onProgress'] = ({ stage }) => stages.push(stage);
    expect(
      await refusalOf(() => quantize(one({ intermediate_size: 64 }), { ...options, onProgress })),
    ).toMatch(message);
    expect(stages).toEqual([]);
  });

  it('tuning with few windows, before anything is quantized', async () => {
    const stages = new Set<string>();
    const onProgress: QuantizeOptions['onProgress'] = ({ stage }) => stages.add(stage);
    const long = one({ max_position_embeddings: 512 });
    const options = { calibration: TEXT, tune: true, onProgress };
    expect(await refusalOf(() => quantize(long, options))).toBe(
      'model: tuning needs a causal model and at least 16 windows of calibration text, found 8',
    );
    expect([...stages]).toEqual(['calibrating']);
  });

  const Q = 'model.layers.0.self_attn.q_proj.weight';
  const DOWN = 'model.layers.0.mlp.down_proj.weight';

  it('a weight that is no number: its tensor and element in the model, wherever GGUF has them', async () => {
    for (const threads of [1, 2]) {
      const memory = one();
      memory.floats(Q)[500] = Number.NaN;
      expect(await refusalOf(() => quantize(memory, { threads }))).toBe(
        `model, tensor "${Q}": element 500 is NaN; weights must be finite`,
      );
    }
    const mixtral = await family('mixtral');
    const expert = 'model.layers.1.block_sparse_moe.experts.2.w3.weight';
    mixtral.floats(expert)[77] = Number.POSITIVE_INFINITY;
    expect(await refusalOf(() => quantize(mixtral))).toBe(
      `model, tensor "${expert}": element 77 is Infinity; weights must be finite`,
    );
  });

  it('weights beyond the scales, or beyond float16 where no block fits', async () => {
    const memory = one();
    memory.floats(Q)[64] = 1e9;
    expect(await refusalOf(() => quantize(memory))).toMatch(
      /^tensor "blk\.0\.attn_q\.weight": row \d+: weights are too large for Q5_0, whose scales are float16$/,
    );
    const odd = one({ intermediate_size: 72 });
    odd.floats(DOWN)[7] = 1e5;
    expect(await refusalOf(() => quantize(odd))).toMatch(
      /tensor "blk\.0\.ffn_down\.weight": 100000 is out of range for F16/,
    );
  });

  it('by the command: a budget that cannot be met', { tags: 'slow' }, async () => {
    const args = ['--kl', '1e-9', '--calibration-tokens', '4096'];
    const said = complaint(weightpress('quantize', await saved(one()), at('x.gguf'), ...args, '--quiet'));
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false, stdout: '' });
    expect(said.message).toMatch(
      /cannot be brought to 1e-9: with the best types of llama\.cpp it is [\d.e-]+$/,
    );
  });

  it('by the command: one line, exit code 2', async () => {
    const [model, neo] = [await saved(one()), await saved(await family('gpt_neo'))];
    const output = at('x.gguf');
    const existing = at('gpt2.gguf');
    const cases: [args: string[], message: RegExp][] = [
      [[model, output], /^weightpress: expected --to TYPE, or a budget/],
      [[model, output, '--to', 'Q4_K_M', '--kl', '0.1'], /^weightpress: --to contradicts --kl/],
      [
        [model, output, '--to', 'Q4_K_M', '--tensor-type', '(=Q4_K'],
        /expected a regular expression before =/,
      ],
      [
        [model, output, '--to', 'Q4_K_M', '--tensor-type', 'attn=Q9'],
        /expected NAME=TYPE with one of .*Q4_K/,
      ],
      [
        [model, existing, '--to', 'Q8_0', '--no-calibration'],
        /gpt2\.gguf: already exists; --force replaces it$/,
      ],
      [
        [neo, output, '--to', 'Q8_0', '--no-calibration'],
        /unsupported model_type gpt_neo for GGUF.*; weightpress quantize --names checkpoint writes a file/,
      ],
    ];
    for (const [args, message] of cases) {
      const said = complaint(weightpress('quantize', ...args));
      expect(said.message).toMatch(message);
      expect({ ...said, message: '' }).toMatchObject({ status: 2, stack: false, stdout: '' });
    }
  });
});

it('the command prints what was written, and where', async () => {
  const model = await saved(one());
  const run = weightpress('quantize', model, at('said.gguf'), '--to', 'Q4_K_M', '--no-calibration');
  expect({ ...run, stdout: '' }).toMatchObject({ status: 0, stderr: '' });
  expect(run.stdout).toMatch(/^Q5_0 +\d/m);
  expect(run.stdout).toMatch(
    /^Q5_0 instead of Q4_K, whose blocks do not divide rows: token_embd\.weight to blk\.0\.ffn_up\.weight, 6 tensors$/m,
  );
  expect(run.stdout).toMatch(/^the loss was not measured: there was no calibration$/m);
  expect(run.stdout).toContain(`written to ${at('said.gguf')}`);
  await using opened = await openModel(at('said.gguf'));
  expect(opened.tensors.length).toBe(one().tensors.length);
});

it('the command says that a lossy original has a loss of its own', { tags: 'slow' }, async () => {
  const [model, lossy] = [await saved(one()), at('lossy.wpk')];
  expect(weightpress('compress', model, lossy, '--bits', '6', '--no-calibration').status).toBe(0);
  const run = weightpress('quantize', lossy, at('again.gguf'), '--to', 'Q8_0', '--no-calibration');
  expect({ ...run, stdout: '' }).toMatchObject({ status: 0, stderr: '' });
  expect(run.stdout).toMatch(/^made of a lossy file: its own loss is not counted here/m);
});

describe('names of the checkpoint, for models that llama.cpp does not have', () => {
  it.each(['gpt_neo', 'opt'])(
    '%s: opens, is measured, and has the config and the tokenizer',
    async (name) => {
      const memory = await family(name);
      const output = `${name}.gguf`;
      const made = await quantize(memory, { calibration: TEXT, names: 'checkpoint', to: 'Q5_K_M' }, output);
      await using model = await openModel(at(output));
      expect(model.config).toEqual(memory.config);
      const files = model.sideFiles.map((file) => file.name);
      for (const file of memory.sideFiles.filter(({ name: own }) => own.startsWith('tokenizer'))) {
        expect(files).toContain(file.name);
        const there = await model.sideFiles.find((own) => own.name === file.name)!.read();
        expect(JSON.parse(Buffer.from(there).toString())).toEqual(
          JSON.parse(Buffer.from(await file.read()).toString()),
        );
      }
      expect(model.tensors.map((tensor) => [tensor.name, [...tensor.shape]])).toEqual(
        memory.tensors.map((tensor) => [tensor.name, [...tensor.shape]]),
      );
      const types = Object.fromEntries(made.tensors.map((tensor) => [tensor.name, tensor.type]));
      for (const tensor of model.tensors) {
        const there = await readFloats(model, tensor);
        const error = largestDifference(there, memory.floats(tensor.name));
        if (types[tensor.name] === 'F32') expect(error).toBe(0);
        else expect(error).toBeLessThan(0.1);
      }
      const heldOut = await heldOutOf(asModel(memory), TEXT);
      const { tokens, window } = heldOut as Extract<typeof heldOut, { kind: 'tokens' }>;
      const { kl } = await evaluate(model, { tokens, window, against: asModel(memory) });
      expect(made.quality).toMatchObject({ kl });
      expect(kl!.mean).toBeGreaterThan(0);
    },
  );
});

describe('tuned norms and biases', () => {
  it('lose less, and matrices stay the same', async () => {
    const name = 'llama_bias';
    const memory = await family(name);
    const options = { calibration: TEXT, to: 'Q4_0' } as const;
    const plain = await quantize(memory, options, `${name}-plain.gguf`);
    const tuned = await quantize(memory, { ...options, tune: true }, `${name}-tuned.gguf`);
    const klOf = ({ quality }: typeof plain) => (quality as { kl: { mean: number } }).kl.mean;
    expect(klOf(tuned)).toBeLessThan(klOf(plain));
    expect(tuned.bytes).toBe(plain.bytes);
    await using one = await openModel(at(`${name}-plain.gguf`));
    await using other = await openModel(at(`${name}-tuned.gguf`));
    const changed = [];
    for (const tensor of one.tensors) {
      const again = other.tensors.find((own) => own.name === tensor.name)!;
      if (largestDifference(await readFloats(one, tensor), await readFloats(other, again)))
        changed.push(tensor);
    }
    expect(changed.length).toBeGreaterThan(3 * 4);
    expect(changed.filter(({ shape }) => shape.length > 1)).toEqual([]);
    // the loss that is said is that of the file
    const heldOut = await heldOutOf(asModel(memory), TEXT);
    const { tokens, window } = heldOut as Extract<typeof heldOut, { kind: 'tokens' }>;
    const { kl } = await evaluate(other, { tokens, window, against: asModel(memory) });
    expect(tuned.quality).toMatchObject({ kl });
  });
});
