import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { exportGguf, inspectGguf, planPush, push, quantizeGguf } from '../src/index.js';
import { RETRIES } from '../src/io/request.js';
import { checkFinite } from '../src/models/gguf/finite.js';
import { readGgufHeader } from '../src/models/gguf/header.js';
import { type GgufEntry, writeGgufHeader } from '../src/models/gguf/header-writer.js';
import { openGguf } from '../src/models/gguf/model.js';
import { typeNamed } from '../src/models/gguf/types.js';
import { findLicense } from '../src/models/license.js';
import { type QuantizationRecord, recordEntries } from '../src/operations/quantize/record.js';
import { complaint, weightpressWith } from './helpers/cli.js';
import { asModel, tinyModel, withTokenizer } from './helpers/gguf.js';
import { HubServer } from './helpers/hub-server.js';
import { CountingSource, safetensors } from './helpers/safetensors.js';

// Quantized GGUF files: what push says of them and inspect prints, and what both refuse.

const ORIGINAL = `someone/small-model@${'0123456789'.repeat(4)}`;
const REPOSITORY = 'someone/small-gguf';
const SHA256 = 'ab'.repeat(32);
const place = mkdtempSync(join(tmpdir(), 'weightpress-push-gguf-'));
const at = (name: string) => join(place, name);
const quantized = at('small-Q8_0.gguf');
const run = (...args: string[]) => weightpressWith({}, ...args);

/** A model of the Hub. */
function original(card = '---\nlicense: mit\n---\n# Small') {
  const model = withTokenizer(tinyModel('llama'));
  model.addFile('README.md', card);
  return asModel(Object.assign(model, { id: ORIGINAL }));
}

const QUALITY = {
  text: { name: 'held out of book.txt' },
  against: 'the original',
  kind: 'causal',
  windows: 63,
  window: 256,
  perplexity: 21.5,
  reference: { perplexity: 20.25 },
  kl: { mean: 0.01234, standardError: 0.0005 },
  top1: { agreement: 0.9321, standardError: 0.001 },
};

const RECORD: QuantizationRecord = {
  generator: 'weightpress 0.0.0',
  source: ORIGINAL,
  types: 'Q4_K_M',
  tensors: undefined,
  calibration: { text: 'book.txt', sha256: SHA256, tokens: 65536 },
  quality: QUALITY,
};

const text = (key: string, value: string): GgufEntry => ({ key, type: 'string', value });

/** Writes a file of one matrix and one vector with these metadata. */
function written(name: string, entries: readonly GgufEntry[], vector = [1, 2, 3, 4]): string {
  const tensors = [
    { name: 'blk.0.ffn_up.weight', type: typeNamed('Q8_0'), shape: [32, 32], lengthBytes: 32 * 34 },
    { name: 'blk.0.ffn_norm.weight', type: typeNamed('F32'), shape: [4], lengthBytes: 16 },
  ];
  const header = writeGgufHeader([text('general.architecture', 'llama'), ...entries], tensors);
  const floats = new Uint8Array(Float32Array.from(vector).buffer);
  writeFileSync(at(name), Buffer.concat([header, new Uint8Array(32 * 34), floats, new Uint8Array(16)]));
  return at(name);
}

const recorded = (name: string, record: Partial<QuantizationRecord> = {}) =>
  written(name, [text('general.license', 'mit'), ...recordEntries({ ...RECORD, ...record }, 2000)]);

const cardOf = async (path: string) => (await planPush(path, REPOSITORY)).card;

let hub: HubServer;
beforeAll(async () => {
  RETRIES.firstWaitMs = 2;
  hub = await HubServer.start();
  Object.assign(process.env, { HF_ENDPOINT: hub.endpoint, HF_HOME: at('home'), HF_TOKEN: 'hf_a-secret' });
  await quantizeGguf(original(), quantized, { to: 'Q8_0', calibration: false, threads: 1 });
});
afterAll(async () => {
  await hub.stop();
  rmSync(place, { recursive: true });
});
beforeEach(() => {
  hub.repositories.clear();
  hub.reset();
});

describe('push of a quantized GGUF file', () => {
  it('uploads the file and a card; a card written by a person stays', async () => {
    const said = await run('push', quantized, REPOSITORY);
    expect(said).toMatchObject({ status: 0, stderr: '' });
    expect(said.stdout).toMatch(/license of the original: mit \(general\.license\)/);
    const { files } = hub.repositories.get(REPOSITORY)!;
    expect((files.get('small-Q8_0.gguf')!.bytes as Buffer).equals(readFileSync(quantized))).toBe(true);
    const card = String(files.get('README.md')!.bytes);
    expect(card).toMatch(
      /^---\nlicense: mit\nbase_model: someone\/small-model\nbase_model_relation: quantized\nlibrary_name: gguf\ntags:\n {2}- gguf\n {2}- weightpress\n---\n/,
    );
    expect(card).toContain('llama-cli -hf someone/small-gguf:Q8_0 ');
    expect(card).toContain('| loss | not measured |');
    expect(card).toContain('| codes chosen by | rounding, without calibration |');
    expect(await run('inspect', `${REPOSITORY}/small-Q8_0.gguf`)).toMatchObject({ status: 0, stderr: '' });
    const plan = await planPush(quantized, REPOSITORY);
    expect(plan.card).toBe(card);
    expect(await push(quantized, plan)).toMatchObject({ wroteCard: true });
    hub.add('someone/other', { 'README.md': 'By hand.' });
    const other = await planPush(quantized, 'someone/other');
    expect(await push(quantized, other)).toMatchObject({ wroteCard: false });
    expect(String(hub.repositories.get('someone/other')!.files.get('README.md')!.bytes)).toBe('By hand.');
  });

  it('states what was measured, on what, and how the file was made', async () => {
    const card = await cardOf(recorded('measured-Q4_K_M.gguf'));
    for (const row of [
      `| original | [someone/small-model](https://huggingface.co/someone/small-model) at \`${ORIGINAL.split('@')[1]}\` |`,
      '| KL divergence | 0.0123 ± 0.00050 nats per token |',
      '| same most probable token | 93.21 % |',
      '| perplexity | 20.250 -> 21.500 |',
      '| measured on | `held out of book.txt`, 63 windows of 256 tokens |',
      `| codes chosen by | moments of inputs and gradients on \`book.txt\`, 65,536 tokens, SHA-256 \`${SHA256}\` |`,
      '| made by | `weightpress 0.0.0` with `Q4_K_M` |',
      '| Q8_0 | 1 | 1,024 | 1,088 | 8.500 |',
      '| F32 | 1 | 4 | 16 | 32.000 |',
      '| all | 2 | 1,028 | 1,104 | 8.591 |',
      'llama-server -hf someone/small-gguf:Q4_K_M ',
    ])
      expect(card).toContain(row);
  });

  it('states an importance matrix, cosines of embeddings, and a local original', async () => {
    const cosine = { mean: 0.9912, p1: 0.95, min: 0.9, standardError: null };
    const path = recorded('other name.gguf', {
      source: 'my | folder',
      calibration: { imatrix: 'a.imatrix', datasets: ['x'], tokens: 512 },
      quality: {
        text: { name: 'sentences.txt' },
        kind: 'embedding',
        sentences: 1200,
        cosine,
        rank: { mean: 0.97 },
      },
    });
    const card = await cardOf(path);
    expect(card).toContain('| original | `my   folder` |');
    expect(card).not.toContain('base_model');
    expect(card).toContain('| codes chosen by | the importance matrix `a.imatrix`, 512 tokens |');
    expect(card).toContain('mean 0.99120, 1 % of the sentences below 0.95000');
    expect(card).toContain('| measured on | `sentences.txt`, 1,200 sentences |');
    expect(card).toContain("llama-cli -hf someone/small-gguf --hf-file 'other name.gguf' ");
  });

  it('says that the loss of a file made by others is unknown', async () => {
    const path = at('exported.gguf');
    await exportGguf(original('# no license'), path, { type: 'F16' });
    const card = await cardOf(path);
    expect(card).toContain('was not quantized by weightpress');
    expect(card).toContain('| loss | unknown: the file does not say |');
    expect(card).toMatch(/tags:\n {2}- gguf\n---/);
    const refused = complaint(await run('push', path, REPOSITORY));
    expect(refused).toMatchObject({ status: 2, lines: 1 });
    expect(refused.message).toMatch(/license unknown.*--yes/);
    expect(refused.stdout).toContain('the file states none');
    expect(hub.asked).toEqual([]);
    const address = text('general.base_model.0.repo_url', 'https://huggingface.co/a/b');
    expect(await cardOf(written('based.gguf', [address]))).toContain(
      '| original | [a/b](https://huggingface.co/a/b) |',
    );
  });

  it('says so of one that another program quantized again, which copied what the file said of itself', async () => {
    const { record } = await inspectGguf(quantized);
    const path = recorded('again.gguf', { tensors: record!.tensors });
    expect(await inspectGguf(path)).toMatchObject({ record: undefined, isRequantized: true });
    const card = await cardOf(path);
    expect(card).toContain('another program quantized again after weightpress');
    expect(card).toContain('| loss | unknown: the file does not say |');
    expect((await run('inspect', path)).stdout).toContain('quantized again by another program');
  });

  it("says that llama.cpp cannot load one with the checkpoint's names", async () => {
    const path = at('own.gguf');
    await quantizeGguf(original(), path, { to: 'Q8_0', calibration: false, names: 'checkpoint', threads: 1 });
    const card = await cardOf(path);
    expect(card).toMatch(/cannot load it, because its tensors have the checkpoint's names/);
    expect(card).not.toContain('llama-cli');
    expect(card).toContain('weightpress evaluate someone/small-gguf/own.gguf --text TEXT');
  });

  it('sends nothing of a damaged, changed or split file, without a token, or with --dry-run', async () => {
    const damaged = written('damaged.gguf', [text('general.license', 'mit')], [1, Number.NaN, 3, 4]);
    const said = complaint(await run('push', damaged, REPOSITORY));
    expect(said).toMatchObject({ status: 2, lines: 1 });
    expect(said.message).toMatch(/damaged\.gguf, tensor "?blk\.0\.ffn_norm\.weight.*NaN or infinity in F32/);
    const without = complaint(await weightpressWith({ HF_TOKEN: '' }, 'push', quantized, REPOSITORY));
    expect(without.message).toMatch(/set HF_TOKEN/);
    const dry = await run('push', quantized, REPOSITORY, '--dry-run');
    expect(dry.stdout.trim()).toBe((await cardOf(quantized)).trim());
    const path = recorded('changing.gguf');
    const plan = await planPush(path, REPOSITORY);
    recorded('changing.gguf', { quality: { ...QUALITY, perplexity: 1 } });
    await expect(push(path, plan)).rejects.toThrow(/changed since the upload was planned/);
    const part = written('x-00001-of-00003.gguf', [{ key: 'split.count', type: 'uint32', value: 3 }]);
    await expect(planPush(part, REPOSITORY)).rejects.toThrow(/part 1 of 3 of a split model/);
    expect((await inspectGguf(part)).part).toEqual({ number: 1, of: 3 });
    expect(hub.asked).toEqual([]);
  });

  it('keeps a license of its own, in the file and in the card', async () => {
    const path = at('own-license.gguf');
    const card = '---\nlicense: other\nlicense_name: mine\nlicense_link: https://example.org\n---';
    await exportGguf(original(card), path, { type: 'F16' });
    const { license, permissive, card: made } = await planPush(path, REPOSITORY);
    expect({ license, permissive }).toEqual({
      license: { id: 'mine', from: 'general.license' },
      permissive: false,
    });
    expect(made).toMatch(/^---\nlicense: other\nlicense_name: mine\nlicense_link: https:\/\/example.org\n/);
    const bytes = new Uint8Array(readFileSync(path));
    const model = await openGguf('model', new CountingSource('x.gguf', bytes));
    expect((await findLicense(model.sideFiles)).id).toBe('mine');
    await model.close();
  });

  it('finds NaN and infinity in floats and in scales of blocks', async () => {
    for (const [type, place, bad] of [
      ['F16', 2, [0, 0x7c]],
      ['BF16', 4, [0x80, 0x7f]],
      ['Q6_K', 210 + 208, [0, 0xfc]],
      ['Q4_K', 144 + 2, [1, 0x7e]],
      ['Q2_K', 84 + 80, [0, 0x7c]],
    ] as const) {
      const own = typeNamed(type);
      const lengthBytes = own.blockBytes * 2 * (256 / own.blockElements);
      const header = writeGgufHeader([], [{ name: 'w', type: own, shape: [2, 256], lengthBytes }]);
      const bytes = new Uint8Array(header.length + lengthBytes);
      bytes.set(header);
      const check = async () => {
        const source = new CountingSource('x.gguf', bytes);
        let read = 0;
        await checkFinite(await readGgufHeader(source), source, (n) => {
          read += n;
        });
        return read;
      };
      expect(await check()).toBe(lengthBytes);
      bytes.set(bad, header.length + place);
      await expect(check()).rejects.toThrow(`NaN or infinity in ${type}`);
    }
  });
});

describe('inspect of a GGUF file', () => {
  it('prints types, calibration and quality, as JSON too', async () => {
    const path = recorded('inspected.gguf');
    const { status, stdout, stderr } = await run('inspect', path, '--tensors');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`${path}: ${ORIGINAL}, made by weightpress 0.0.0 with Q4_K_M\n`);
    expect(stdout).toMatch(/^Q8_0 +1 +1,024 +1,088 +8\.500$/m);
    expect(stdout).toContain(`codes chosen by book.txt, 65,536 tokens, SHA-256 ${SHA256}\n`);
    expect(stdout).toMatch(
      /quality \(held out of book\.txt\): KL divergence 0\.01234 ± 0\.00050 nats per token/,
    );
    expect(stdout).toMatch(/^blk\.0\.ffn_up\.weight +Q8_0 +32x32 +1088 B$/m);
    expect(stdout).toContain('"agreement": 0.9321');
    const summary = await inspectGguf(path);
    expect(JSON.parse((await run('inspect', path, '--json')).stdout)).toEqual(
      JSON.parse(JSON.stringify(summary)),
    );
    expect(summary).toMatchObject({ format: 'gguf', names: 'llama.cpp', weights: 1028, record: RECORD });
  });

  it('has the source of what quantize wrote, and its rules for types', async () => {
    const path = at('ruled.gguf');
    const types = [{ pattern: /attn_v/, type: 'Q4_0' }] as const;
    await quantizeGguf(original(), path, { to: 'Q8_0', types, calibration: false, threads: 1 });
    const { record, types: found } = await inspectGguf(path);
    expect(record).toMatchObject({ source: ORIGINAL, types: 'Q8_0, attn_v=Q4_0', quality: undefined });
    expect(found.map(({ type }) => type)).toContain('Q4_0');
  });

  it('says that nothing is known of one made by others, and refuses other formats', async () => {
    const { stdout } = await run('inspect', written('others.gguf', []));
    expect(stdout).toContain('others.gguf: llama, not quantized by weightpress\n');
    expect(stdout).toContain('quality: unknown');
    writeFileSync(at('x.safetensors'), safetensors([]));
    const refused = complaint(await run('inspect', at('x.safetensors')));
    expect(refused).toMatchObject({ status: 2, lines: 1 });
    expect(refused.message).toMatch(/is a \.safetensors file, not a \.wpk/);
    await expect(inspectGguf(at('x.safetensors'))).rejects.toThrow(/not a GGUF file/);
  });
});

describe('a GGUF file whose record is malformed', () => {
  const withQuality = (value: string) => [
    text('weightpress.generator', 'w'),
    text('weightpress.quality', value),
  ];
  const { kl: _, ...withoutKl } = QUALITY;
  const cases: Record<string, [entries: GgufEntry[], message: RegExp]> = {
    'JSON that ends early': [withQuality('{"kl": {"mean": 0.1'), /weightpress\.quality.*is not JSON/],
    'JSON that is a list': [withQuality('[1]'), /expected a JSON object, found an array/],
    'a loss that is text': [withQuality(JSON.stringify({ ...QUALITY, kl: { mean: 'x' } })), /measured loss/],
    'no loss': [withQuality(JSON.stringify(withoutKl)), /expected a measured loss/],
    'a text whose name is a number': [
      withQuality(JSON.stringify({ ...QUALITY, text: { name: 1 } })),
      /measured loss/,
    ],
    'deep JSON': [withQuality(`{"a":${'['.repeat(1000)}`), /nested deeper/],
    'a generator that is a number': [
      [{ key: 'weightpress.generator', type: 'uint32', value: 1 }],
      /weightpress\.generator: expected text, found a number/,
    ],
    'a huge name': [
      [text('weightpress.generator', 'w'.repeat(1e6))],
      /1000000 characters is over the limit of 16384/,
    ],
    'a huge quality': [withQuality(`${' '.repeat(1e6)}{}`), /over the limit of 65536/],
  };

  it.each(Object.keys(cases))('%s: refused by both', async (name) => {
    const [entries, message] = cases[name]!;
    const path = written('malformed.gguf', entries);
    await expect(inspectGguf(path)).rejects.toThrow(message);
    await expect(planPush(path, REPOSITORY)).rejects.toThrow(message);
  });

  it('is one line, with exit code 2, like a truncated one', async () => {
    const malformed = written('malformed.gguf', cases['JSON that ends early']![0]);
    const truncated = at('truncated.gguf');
    writeFileSync(truncated, readFileSync(quantized).subarray(0, -5000));
    const short = at('short.gguf');
    writeFileSync(short, readFileSync(quantized).subarray(0, 300));
    for (const path of [malformed, truncated, short])
      for (const args of [
        ['inspect', path],
        ['push', path, REPOSITORY, '--dry-run'],
      ]) {
        const said = complaint(await run(...args));
        expect(said, args.join(' ')).toMatchObject({ status: 2, lines: 1, stack: false, stdout: '' });
        expect(said.message).toContain(path);
      }
  });

  it('lets no markup and no control characters through', async () => {
    const bad = '`|<img src=x>\u001b[31m\n# x';
    const path = recorded('markup.gguf', {
      generator: bad,
      source: bad,
      types: bad,
      calibration: { text: bad, sha256: bad, tokens: bad },
      quality: { ...QUALITY, text: { name: bad } },
    });
    const card = await cardOf(path);
    const body = card.slice(card.indexOf('-->'));
    for (const line of body.split('\n')) expect(line.replaceAll(/`[^`]*`/g, '')).not.toMatch(/<img|^# x/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be printed
    const unsafe = /[\u0000-\u0008\u001b]/;
    expect(card).not.toMatch(unsafe);
    expect((await run('inspect', path)).stdout).not.toMatch(unsafe);
    const license = await planPush(written('l.gguf', [text('general.license', bad)]), REPOSITORY);
    expect(license).toMatchObject({ license: { id: 'unknown' }, permissive: false });
    expect(license.card).toMatch(/^---\nlibrary_name/);
  });
});
