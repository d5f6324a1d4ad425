// Stored logits of a reference: the same numbers as running it, and one clear line for a file that does not fit or is damaged.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { evaluateCommand } from '../src/cli/evaluate.js';
import { InputError } from '../src/core/errors.js';
import type { Model } from '../src/core/model.js';
import { LOGITS_FILES } from '../src/evaluation/node/logits-file.js';
import { evaluate } from '../src/evaluation/node/run.js';
import { complaint } from './helpers/cli.js';
import { EVALUATION_TEXT, FIXTURES, TINY } from './helpers/fixtures.js';
import { refusalOf } from './helpers/logits.js';
import { MemoryModel } from './helpers/memory-model.js';
import { folder, seededRandom } from './helpers/safetensors.js';

const place = folder({});
const at = (name: string) => join(place, name);
const fixture = async (name: string) => (await MemoryModel.of(join(FIXTURES, name))) as unknown as Model;
const idsOf = (count: number, step = 29) => Array.from({ length: count }, (_, i) => 4 + ((i * step) % 90));
const TEXT = { tokens: idsOf(100), window: 16 };

describe('logits of a reference', () => {
  let [reference, candidate]: Model[] = [];
  beforeAll(async () => {
    reference = await fixture('gpt2');
    const changed = await MemoryModel.of(join(FIXTURES, 'gpt2'));
    const name = 'transformer.h.0.mlp.c_fc.weight';
    changed.set(
      name,
      changed.byName.get(name)!.shape,
      changed.floats(name).map((value) => 0.9 * value),
    );
    candidate = changed as unknown as Model;
    await evaluate(reference, { ...TEXT, saveLogits: at('reference') });
  });

  it('give the numbers that running both gives, exactly', async () => {
    const direct = await evaluate(candidate!, { ...TEXT, against: reference! });
    const { againstSha256, ...stored } = await evaluate(candidate!, { ...TEXT, logits: at('reference') });
    expect(stored).toEqual(direct);
    expect(againstSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(direct.kl!.mean).toBeGreaterThan(1e-6);
  });

  it('are the same file when the first candidate is compared meanwhile', async () => {
    const result = await evaluate(candidate!, { ...TEXT, against: reference!, saveLogits: at('meanwhile') });
    expect(readFileSync(at('meanwhile'))).toEqual(readFileSync(at('reference')));
    expect(result.savedLogits).toEqual({
      path: at('meanwhile'),
      bytes: readFileSync(at('reference')).length,
    });
  });

  it('say how many tokens in what windows, so that nothing else need be said', async () => {
    const { windows, window, details } = await evaluate(reference!, {
      ...{ tokens: [...TEXT.tokens, ...idsOf(50)], logits: at('reference') },
    });
    expect({ windows, window }).toEqual({ windows: 6, window: 16 });
    expect(details.comparison).toMatchObject({
      perplexityRatio: { value: 1, standardError: 0, tokenStandardError: 0 },
      logPerplexityCorrelation: 1,
      klNats: { mean: { value: 0 }, maximum: 0, minimum: 0 },
      probabilityChange: { rootMeanSquare: { value: 0, standardError: 0 } },
      sameTopToken: { value: 1 },
    });
  });

  it('of a masked model serve it, too', async () => {
    const roberta = await fixture('roberta');
    const text = { ...TEXT, maskToken: 3 };
    await evaluate(roberta, { ...text, saveLogits: at('masked') });
    const { kind, kl } = await evaluate(roberta, { ...text, logits: at('masked') });
    expect({ kind, mean: kl!.mean }).toEqual({ kind: 'masked', mean: 0 });
  });

  it.each([
    ['another text', { tokens: idsOf(100, 31) }, 'logits of another text'],
    ['one token that differs', { tokens: [5, ...idsOf(100).slice(1)] }, 'logits of another text'],
    [
      'the second half alone',
      { secondHalf: true },
      'logits of 90 predicted tokens, and 42 are to be predicted; those of whole windows and of second halves differ',
    ],
    ['fewer tokens', { maxTokens: 32 }, 'logits of 6 windows, and the text has 2 of 16 tokens'],
    ['a shorter text', { tokens: idsOf(40) }, 'logits of 6 windows, and the text has 2 of 16 tokens'],
    [
      'another window',
      { window: 20 },
      'logits of windows of 16 tokens, and the text was cut into windows of 20',
    ],
  ])('are refused for %s', async (_, options, message) => {
    const refusal = await refusalOf(() =>
      evaluate(candidate!, { ...TEXT, logits: at('reference'), ...options }),
    );
    expect(refusal).toBe(`${at('reference')}: ${message}`);
  });

  it('are refused for another vocabulary, and for a model of another kind', async () => {
    const [tiny, roberta] = [(await MemoryModel.of(TINY)) as unknown as Model, await fixture('roberta')];
    const refusal = (model: Model) =>
      refusalOf(() => evaluate(model, { ...TEXT, logits: at('reference'), maskToken: 3 }));
    expect(await refusal(tiny)).toMatch(
      /reference: logits over a vocabulary of 97, and this model's has 4096$/,
    );
    expect(await refusal(roberta)).toMatch(/reference: logits of a causal model, and this one is masked$/);
  });

  it('take the place of a reference model, and are not written over', async () => {
    const both = { ...TEXT, logits: at('reference'), against: reference! };
    expect(await refusalOf(() => evaluate(candidate!, both))).toMatch(/take the place of a reference/);
    const again = { ...TEXT, saveLogits: at('reference') };
    expect(await refusalOf(() => evaluate(candidate!, again))).toMatch(/reference: already exists$/);
    const before = readFileSync(at('reference'));
    await evaluate(reference!, { ...again, force: true });
    expect(readFileSync(at('reference'))).toEqual(before);
  });

  it('that were not all written get no name', async () => {
    const abort = new AbortController();
    const options = { ...TEXT, saveLogits: at('aborted'), signal: abort.signal };
    const run = evaluate(reference!, { ...options, onWindow: () => abort.abort(new Error('enough')) });
    await expect(run).rejects.toThrow('enough');
    expect(existsSync(at('aborted'))).toBe(false);
    expect(readdirSync(place).filter((name) => name.startsWith('aborted'))).toEqual([]);
  });

  it('that are no numbers are not stored', async () => {
    const predictions = { kind: 'causal', vocabulary: 97, window: 16, windows: 1, tokens: 15 } as const;
    const about = { ...predictions, text: '0'.repeat(16) };
    const writer = await LOGITS_FILES.create(at('nan'), reference!, about, { force: false, inputs: [] });
    const logits = new Float32Array(15 * 97);
    logits[99] = Number.NaN;
    await expect(writer.write(logits)).rejects.toThrow(/its logits are not finite numbers/);
    await writer.discard();
    expect(existsSync(at('nan'))).toBe(false);
  });

  it('that are damaged are found out, whatever is changed or missing, 400 times with seed 5', async () => {
    const whole = readFileSync(at('reference'));
    const random = seededRandom(5);
    const below = (count: number) => Math.floor(random() * count);
    const read = async (bytes: Uint8Array) => {
      writeFileSync(at('damaged'), bytes);
      const stored = await LOGITS_FILES.open(at('damaged'));
      const logits = new Float32Array(stored.origin.tokens * stored.origin.vocabulary);
      await stored.readInto(logits).finally(() => stored.close());
      return logits;
    };
    expect((await read(whole)).every(Number.isFinite)).toBe(true);
    for (let i = 0; i < 400; i++) {
      const changed = i % 4 ? Buffer.from(whole) : whole.subarray(0, below(whole.length));
      // every other time in the first or the last bytes, where lengths and checksums are
      const [first, last] = [below(200), whole.length - 1 - below(40)];
      if (i % 4) changed[[below(whole.length), first, last][(i % 4) - 1]!]! ^= 1 << below(8);
      const outcome = await read(changed).catch((error: unknown) => error);
      expect(outcome, `change ${i}`).toBeInstanceOf(InputError);
      expect((outcome as Error).message).toMatch(/^[^\n]*(damaged|is not a file of logits)[^\n]*$/);
    }
  });
});

describe('weightpress evaluate', () => {
  const run = (input: string, ...args: string[]) =>
    spawnSync(process.execPath, ['dist/cli/main.js', 'evaluate', TINY, ...args], { encoding: 'utf8', input });
  const text = readFileSync(EVALUATION_TEXT, 'utf8').slice(0, 2000);

  it('reads the text from standard input, and stores and takes logits', { tags: 'slow' }, () => {
    const file = at('tiny.logits');
    const options = ['--text', '-', '--window', '64', '--second-half'];
    const saved = run(text, ...options, '--save-logits', file);
    expect(saved).toMatchObject({ status: 0, stderr: '' });
    expect(saved.stdout).toMatch(/^logits +.*tiny\.logits, [\d.]+ MB: 13\.\d kB per token$/m);
    const taken = run(text, ...options, '--logits', file, '--json');
    const { against, kl, details, windows, tokens } = JSON.parse(taken.stdout);
    expect({ against, mean: kl.mean }).toEqual({ against: 'gpt-neo-tiny', mean: 0 });
    expect(tokens).toBe(31 * windows);
    expect(details.comparison.klNats.percentiles).toHaveLength(11);
    expect(complaint(run(text, ...options, '--save-logits', file))).toMatchObject({
      ...{ status: 2, lines: 1, stack: false },
      message: `weightpress: ${file}: already exists; --force replaces it`,
    });
    expect(complaint(run(text, ...options, '--save-logits', '-')).message).toMatch(/to standard output$/);
    expect(complaint(run('', ...options)).message).toBe('weightpress: standard input: is empty');
  });

  it('--running prints the estimate after each window, and nothing does without it', async () => {
    writeFileSync(at('text'), text);
    const written = { stdout: '', stderr: '' };
    const spies = (['stdout', 'stderr'] as const).map((stream) =>
      vi.spyOn(process[stream], 'write').mockImplementation((piece) => {
        written[stream] += piece;
        return true;
      }),
    );
    const args = [TINY, '--text', at('text'), '--window', '64', '--tokens', '192', '--json'];
    await evaluateCommand().parseAsync(args, { from: 'user' });
    expect(written.stderr).toBe('');
    written.stdout = '';
    await evaluateCommand()
      .parseAsync([...args, '--running', '--against', TINY], { from: 'user' })
      .finally(() => spies.map((spy) => spy.mockRestore()));
    const { perplexity } = JSON.parse(written.stdout);
    expect(written.stderr).toMatch(/^\[1\][\d.]+\/0\.000,\[2\][\d.]+\/0\.000,\[3\][\d.]+\/0\.000,\n$/);
    expect(written.stderr).toContain(`[3]${perplexity.toFixed(4)}/`);
  });
});
