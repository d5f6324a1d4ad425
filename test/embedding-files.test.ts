// Embedding models from text to vectors, and files that are compressed to a cosine.
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rankAgreements } from '../src/evaluation/embedding/ranks.js';
import { sentencesOf } from '../src/evaluation/embedding/sentences.js';
import { catalog, compareEmbeddings, compress, embed, evaluate, open, quantizeGguf } from '../src/index.js';
import { openEmbeddingProgram } from '../src/inference/embedding/program.js';
import { SentenceTokenizer } from '../src/inference/embedding/tokens.js';
import { weightpress } from './helpers/cli.js';
import { TINY } from './helpers/fixtures.js';
import { spread } from './helpers/gradients.js';
import { refusalOf } from './helpers/logits.js';
import { folder } from './helpers/safetensors.js';
import { embeddingFolder, sentences, word } from './helpers/sentences.js';

const POOLING = '1_Pooling/config.json';
const LINES = sentences(900);
const HELD_OUT = [...new Set(LINES)].filter((_, i) => i % 10 === 9);
const calibration = { text: LINES.join('\n'), name: 'lines' };

describe('sentences', () => {
  it('are lines, or cut out of prose at their ends', () => {
    expect(sentencesOf('One line. Of two.\n\n')).toEqual(['One line.', 'Of two.']);
    expect(sentencesOf('One. Two.\nthree\n---\n')).toEqual(['One. Two.', 'three']);
    const prose =
      'Mr. Holmes\nsaw 3.5 miles. “Really?” J. asked! “Yes.” he said.\n\n* * *\n\nAnd then… Nothing.';
    expect(sentencesOf(prose)).toEqual([
      'Mr. Holmes saw 3.5 miles.',
      '“Really?”',
      'J. asked!',
      '“Yes.” he said.',
      'And then…',
      'Nothing.',
    ]);
    expect(sentencesOf('你好。再见。')).toEqual(['你好。', '再见。']);
  });

  it('that are too long lose their end, not their special tokens', async () => {
    await using model = await open(
      embeddingFolder('st_bert_mean', {
        'sentence_bert_config.json': { max_seq_length: 6, do_lower_case: true },
      }),
    );
    const tokenizer = await SentenceTokenizer.load(await openEmbeddingProgram(model));
    expect(tokenizer.encode(`${word(0)} ${word(1)}`)).toEqual({ tokens: [2, 5, 6, 3], isCut: false });
    const long = [0, 1, 2, 3, 4, 5].map((i) => word(i).toUpperCase()).join(' ');
    expect(tokenizer.encode(long)).toEqual({ tokens: [2, 5, 6, 7, 8, 3], isCut: true });
    const { cut, tokens, embeddings } = await embed(model, [long, word(9)]);
    expect([cut, tokens, embeddings.length]).toEqual([1, 9, 2]);
  });

  it('have the prompt that is asked for, or that the model has by default', async () => {
    const prompts = { query: `${word(7)} `, document: '' };
    const settings = { prompts, default_prompt_name: 'query' };
    await using model = await open(
      embeddingFolder('st_bert_mean', { 'config_sentence_transformers.json': settings }),
    );
    const plain = await embed(model, [`${word(7)} ${word(1)}`, word(1)], { prompt: 'document' });
    const prompted = await embed(model, [word(1)]);
    expect(prompted.embeddings[0]).toEqual(plain.embeddings[0]);
    expect(prompted.embeddings[0]).not.toEqual(plain.embeddings[1]);
    expect(await refusalOf(() => embed(model, ['x'], { prompt: 'other' }))).toMatch(
      /no prompt "other"; the model has query, document$/,
    );
  });
});

it('ranks are compared as a slow second way does', () => {
  const vectors = (seed: number) => Array.from({ length: 7 }, (_, i) => spread(4, seed + i));
  const [a, b] = [vectors(1), vectors(50)];
  const cosine = (x: Float32Array, y: Float32Array) => {
    const sum = (f: (i: number) => number) => x.reduce((total, _, i) => total + f(i), 0);
    return sum((i) => x[i]! * y[i]!) / Math.sqrt(sum((i) => x[i]! ** 2) * sum((i) => y[i]! ** 2));
  };
  const found = rankAgreements(a, b);
  for (const [i, value] of found.entries()) {
    const ranks = (all: Float32Array[]) => {
      const others = all.filter((_, j) => j !== i).map((other) => cosine(all[i]!, other));
      return others.map((one) => others.filter((other) => other < one).length);
    };
    const [ours, theirs] = [ranks(a), ranks(b)];
    const square = ours.reduce((sum, rank, j) => sum + (rank - theirs[j]!) ** 2, 0);
    expect(value).toBeCloseTo(1 - (6 * square) / (6 * 35), 10);
  }
  expect([...rankAgreements(a, a)]).toEqual(Array(7).fill(1));
});

describe('a compressed embedding model', () => {
  const path = embeddingFolder('st_dense');
  const place = folder();
  const output = join(place, 'model.wpk');

  it('meets a cosine, as measured again on the held-out sentences', { tags: 'slow' }, async () => {
    const { quality } = await compress(path, output, { budget: { cosine: 0.97 }, calibration });
    const stored = quality as unknown as { cosine: { mean: number }; kind: string; sentences: number };
    expect(stored).toMatchObject({ kind: 'embedding', sentences: HELD_OUT.length });
    await using compressed = await open(output);
    await using original = await open(path);
    const again = await compareEmbeddings(compressed, { against: original, text: HELD_OUT.join('\n') });
    expect(again.cosine.mean).toBeCloseTo(stored.cosine.mean, 9);
    expect(again.cosine.mean).toBeGreaterThanOrEqual(0.97);
    expect(again.cosine.mean).toBeLessThan(0.98);
    expect(again.cosine.min).toBeLessThanOrEqual(again.cosine.p1);
    expect(again.rank.mean).toBeLessThan(1);
    const same = await compareEmbeddings(original, { against: original, text: HELD_OUT.join('\n') });
    expect([same.cosine.min, same.rank.min].map((value) => value.toFixed(6))).toEqual([
      '1.000000',
      '1.000000',
    ]);
  });

  it('meets a cosine in the types of llama.cpp', { tags: 'slow' }, async () => {
    await using original = await open(embeddingFolder('st_bert_mean'));
    const gguf = join(folder(), 'embedding.gguf');
    const { quality } = await quantizeGguf(original, gguf, { to: { cosine: 0.99 }, calibration });
    await using quantized = await open(gguf);
    const again = await compareEmbeddings(quantized, { against: original, text: HELD_OUT.join('\n') });
    expect(again.cosine.mean).toBeCloseTo((quality as { cosine: { mean: number } }).cosine.mean, 6);
    expect(again.cosine.mean).toBeGreaterThanOrEqual(0.99);
  });

  it('says its cosine, and never a divergence, wherever its loss is printed', { tags: 'slow' }, async () => {
    const [entry] = await catalog(place);
    expect(entry).toMatchObject({ klNats: undefined, perplexity: undefined });
    expect(entry!.cosine).toBeGreaterThan(0.97);
    expect(weightpress('catalog', place).stdout).toMatch(/cosine 0\.97/);
    expect(weightpress('inspect', output).stdout).toContain('"cosine"');
    const [options, text] = [['--against', path, '--text'], join(place, 'lines.txt')];
    writeFileSync(text, HELD_OUT.join('\n'));
    const { stdout, status } = weightpress('evaluate', output, ...options, text, '--attach');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^cosine +0\.97\d+ +0\.0\d+ +0\.9/m);
    expect(stdout).toMatch(/^rank agreement/m);
    const printed = weightpress('compress', path, '-o', output, '--force', '--bits', '4', '--no-calibration');
    expect(printed.stdout).toContain('quality: not measured');
    expect(stdout + printed.stdout).not.toMatch(/KL|perplexity/);
  });

  it('is the same file with one and two threads', { tags: 'slow' }, async () => {
    const files = [1, 2].map((threads) => join(place, `threads-${threads}.wpk`));
    for (const [i, file] of files.entries())
      await compress(path, file, { budget: { bits: 3 }, calibration, threads: i + 1 });
    const [one, two] = files.map((file) => readFileSync(file));
    expect(one!.equals(two!)).toBe(true);
  });

  it('takes no budget in another measure, and no model another one’s', async () => {
    const other = join(place, 'other.wpk');
    expect(await refusalOf(() => compress(path, other, { budget: { kl: 0.1 }, calibration }))).toMatch(
      /is an embedding model and predicts no tokens: expected a budget of cosine, found kl$/,
    );
    expect(await refusalOf(() => compress(TINY, other, { budget: { cosine: 0.9 }, calibration }))).toMatch(
      /is no embedding model: expected a budget of kl, found cosine$/,
    );
    const tuned = { budget: { bits: 3 }, calibration, tune: true };
    expect(await refusalOf(() => compress(path, other, tuned))).toMatch(/embedding model are not tuned$/);
    for (const cosine of [1, 1.5])
      expect(await refusalOf(() => compress(path, other, { budget: { cosine }, calibration }))).toMatch(
        /expected a cosine below 1/,
      );
    expect(
      await refusalOf(() =>
        compress(path, other, { budget: { cosine: 0.9 }, calibration: { text: 'Few.' } }),
      ),
    ).toMatch(/the calibration text has 1 sentences of \d+ tokens, expected at least 100 sentences/);
  });
});

describe('an embedding model that is not as it should be: one line, exit code 2', () => {
  const modules = (...types: string[]) => [
    { type: 'sentence_transformers.models.Transformer', path: '' },
    ...types.map((type, i) => ({ type, path: `${i + 1}_${type.split('.').at(-1)}` })),
  ];
  const pooling = 'sentence_transformers.models.Pooling';
  const dense = { in_features: 32, out_features: 24, bias: true };
  const CASES: Record<string, readonly [files: Record<string, unknown>, message: RegExp]> = {
    'a module that is not known': [
      { 'modules.json': modules(pooling, 'sentence_transformers.models.CNN') },
      /modules\.json: unsupported module "sentence_transformers\.models\.CNN", expected .*Pooling, Dense, Normalize/,
    ],
    'code of its own': [
      { 'modules.json': modules(pooling, 'custom_st.Normalize') },
      /unsupported module "custom_st\.Normalize"/,
    ],
    'no pooling': [{ 'modules.json': modules() }, /expected a Transformer and a Pooling first/],
    'no list': [{ 'modules.json': {} }, /modules\.json: expected a list of modules, found {}/],
    'no JSON': [{ 'modules.json': '[' }, /modules\.json: malformed JSON/],
    'a pooling mode that is not known': [
      { [POOLING]: { pooling_mode: 'median' } },
      /unsupported pooling mode "median", expected one of cls, max, mean/,
    ],
    'a pooling flag that is not known': [
      { [POOLING]: { pooling_mode_median: true } },
      /unsupported setting pooling_mode_median = true/,
    ],
    'pooling of another size': [
      { [POOLING]: { word_embedding_dimension: 48 } },
      /expected pooling of 32 features, found 48/,
    ],
    'a dense layer of another input': [
      { '2_Dense/config.json': { ...dense, in_features: 16 } },
      /expected in_features to be 32, found 16/,
    ],
    'a dense layer of another output': [
      { '2_Dense/config.json': { ...dense, out_features: 25 } },
      /expected linear\.weight of shape \[25,32\], found \[24,32\]/,
    ],
    'an activation that is not known': [
      { '2_Dense/config.json': { ...dense, activation_function: 'torch.nn.modules.activation.Mish' } },
      /unsupported activation "torch\.nn\.modules\.activation\.Mish"/,
    ],
    'a setting of sentences that is not known': [
      { 'sentence_bert_config.json': { max_seq_length: 32, query_length: 8 } },
      /sentence_bert_config\.json: unsupported setting query_length = 8/,
    ],
  };

  it.each(Object.keys(CASES))('%s', async (name) => {
    const [files, message] = CASES[name]!;
    await using model = await open(embeddingFolder('st_dense', files));
    expect(await refusalOf(() => embed(model, [word(1)]))).toMatch(message);
  });

  it('a pooling file or weights that are missing', async () => {
    for (const [file, message] of [
      [POOLING, /1_Pooling\/config\.json: missing: the pooling of an embedding model$/],
      ['2_Dense/model.safetensors', /2_Dense\/model\.safetensors: missing: the weights of a module$/],
      ['2_Dense/config.json', /2_Dense\/config\.json: missing: the settings of a dense layer$/],
    ] as const) {
      const path = embeddingFolder('st_dense');
      rmSync(join(path, file));
      await using model = await open(path);
      expect(await refusalOf(() => embed(model, [word(1)]))).toMatch(message);
    }
  });

  it('a model that predicts tokens, and one whose predictions are asked for', async () => {
    await using tiny = await open(TINY);
    expect(await refusalOf(() => embed(tiny, ['a']))).toMatch(/is no embedding model/);
    await using model = await open(embeddingFolder('st_cls'));
    expect(await refusalOf(() => evaluate(model, { tokens: [1, 2, 3] }))).toMatch(/missing/);
  });
});

describe('weightpress embed', () => {
  const path = embeddingFolder('st_dense');

  it('prints a vector per text, of arguments or of the lines of a file', async () => {
    const texts = [`${word(1)} ${word(2)}.`, word(3)];
    await using model = await open(path);
    const expected = (await embed(model, texts)).embeddings.map((vector) => Array.from(vector));
    const { stdout } = weightpress('embed', path, ...texts);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(expected);
    const file = join(folder(), 'texts');
    writeFileSync(file, `${texts.join('\n\n')}\n`);
    const found = JSON.parse(weightpress('embed', path, '--file', file, '--json').stdout);
    expect(found).toMatchObject({ dimensions: 24, cut: 0, meanByDefault: false, embeddings: expected });
  });

  it('says that it takes the mean of an encoder without modules', async () => {
    const bare = embeddingFolder('st_bert_mean');
    rmSync(join(bare, 'modules.json'));
    const { stdout, stderr } = weightpress('embed', bare, word(1));
    expect(JSON.parse(stdout)).toHaveLength(32);
    expect(stderr).toContain('has no modules.json; the mean of all tokens is used');
    const text = join(bare, 'lines.txt');
    writeFileSync(text, LINES.slice(0, 9).join('\n'));
    expect(weightpress('evaluate', bare, '--against', bare, '--text', text).stdout).toContain(
      '32 features, the mean of all tokens: the model has no modules.json',
    );
  });

  it('wants texts, once', () => {
    for (const [args, message] of [
      [[], 'expected texts, or --file'],
      [['a', '--file', 'b'], 'expected texts or --file, found both'],
    ] as const) {
      const { status, stderr } = weightpress('embed', path, ...args);
      expect([status, stderr.split('\n').length]).toEqual([2, 2]);
      expect(stderr).toContain(message);
    }
  });
});

it('evaluate of an embedding model wants a reference, and no option of predictions', () => {
  const path = embeddingFolder('st_cls');
  const text = join(path, 'lines.txt');
  writeFileSync(text, LINES.slice(0, 9).join('\n'));
  for (const [args, message] of [
    [[], 'name the original with --against'],
    [['--against', path, '--save-logits', join(path, 'logits')], '--save-logits does not apply'],
    [['--against', path, '--window', '8'], '--window does not apply'],
  ] as const) {
    const { status, stderr } = weightpress('evaluate', path, '--text', text, ...args);
    expect([status, stderr.split('\n').length]).toEqual([2, 2]);
    expect(stderr).toContain(message);
  }
});

it('docs/embeddings.md does what it says', async () => {
  const place = folder();
  cpSync(embeddingFolder('st_dense'), join(place, 'all-MiniLM-L6-v2'), { recursive: true });
  await compress(join(place, 'all-MiniLM-L6-v2'), join(place, 'minilm.wpk'));
  writeFileSync(join(place, 'sentences.txt'), LINES.slice(0, 20).join('\n'));
  const [, code] = /^```js\n([\s\S]*?)^```/m.exec(readFileSync('docs/embeddings.md', 'utf8'))!;
  const module = JSON.stringify(resolve('dist/index.js'));
  writeFileSync(join(place, 'guide.mjs'), code!.replace("'weightpress'", module));
  const said = execFileSync(process.execPath, ['guide.mjs'], { cwd: place, encoding: 'utf8', stdio: 'pipe' });
  expect(said).toBe('2 vectors of 24 features\nmean cosine 1.0000, 1 % below 1.0000, ranks 1.0000\n');
});
