import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attachQuality, catalog, compress, inspect, open, verify } from '../src/index.js';

const MODEL = 'examples/gpt-neo-tiny';
const folder = mkdtempSync(join(tmpdir(), 'weightpress-catalog-'));
const file = join(folder, 'tiny.wpk');

beforeAll(async () => {
  const model = await open(MODEL);
  await compress(model, file);
  await model.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('attachQuality', () => {
  test('stores a report and leaves everything else bit-exact', async () => {
    const copy = join(folder, 'attached.wpk');
    copyFileSync(file, copy);
    const before = await inspect(copy);
    await attachQuality(copy, { perplexity: 12.5, kl: { mean: 0.25 } });
    const after = await inspect(copy);
    expect(after.quality).toEqual({ perplexity: 12.5, kl: { mean: 0.25 } });
    expect(after.tensors).toEqual(before.tensors);
    expect(after.sideFiles).toEqual(before.sideFiles);
    const against = await open(MODEL);
    expect(await verify(copy, { against })).toMatchObject({ good: true, bitExact: true });
    await against.close();
    rmSync(copy);
  });

  test('replaces an earlier report; removing it again gives the first file back', async () => {
    const copy = join(folder, 'attached.wpk');
    copyFileSync(file, copy);
    await attachQuality(copy, { perplexity: 1 });
    const once = readFileSync(copy);
    await attachQuality(copy, { perplexity: 2 });
    expect((await inspect(copy)).quality).toEqual({ perplexity: 2 });
    await attachQuality(copy, { perplexity: 1 });
    expect(readFileSync(copy).equals(once)).toBe(true);
    rmSync(copy);
  });

  test('refuses a damaged file and does not change it', async () => {
    const copy = join(folder, 'damaged.wpk');
    const bytes = readFileSync(file);
    bytes[bytes.length - 100]! ^= 1; // in the directory
    writeFileSync(copy, bytes);
    await expect(attachQuality(copy, {})).rejects.toThrow(/checksum/);
    expect(readFileSync(copy).equals(bytes)).toBe(true);
    rmSync(copy);
  });
});

describe('catalog', () => {
  test('lists every .wpk below the folder, those that cannot be read with their problem', async () => {
    const below = join(folder, 'models', 'deep');
    mkdirSync(below, { recursive: true });
    copyFileSync(file, join(below, 'measured.wpk'));
    await attachQuality(join(below, 'measured.wpk'), { perplexity: 73.8, kl: { mean: 0 } });
    copyFileSync(file, join(below, 'short.wpk'));
    truncateSync(join(below, 'short.wpk'), 1000);
    writeFileSync(join(below, 'notes.txt'), 'not a model');
    const entries = await catalog(folder);
    expect(entries.map((entry) => entry.file)).toEqual([
      'models/deep/measured.wpk',
      'models/deep/short.wpk',
      'tiny.wpk',
    ]);
    const [measured, short, tiny] = entries;
    expect(measured).toMatchObject({ perplexity: 73.8, klNats: 0 });
    expect(short!.problem).toMatch(/truncated/);
    const size = readFileSync(file).length;
    expect(tiny).toMatchObject({
      model: 'gpt-neo-tiny',
      parameters: 1_348_864,
      compressedBytes: size,
      bitsPerWeight: (size * 8) / 1_348_864,
      lossless: true,
      license: 'cc0-1.0',
      verified: undefined,
    });
  });

  test('with verify, finds a flipped bit that the directory cannot show', async () => {
    const copy = join(folder, 'flipped.wpk');
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 4;
    writeFileSync(copy, bytes);
    const verified = await catalog(folder, { verify: true });
    const find = (name: string) => verified.find((entry) => entry.file === name);
    expect(find('flipped.wpk')).toMatchObject({ verified: false });
    expect(find('tiny.wpk')).toMatchObject({ verified: true, problem: undefined });
    rmSync(copy);
  });
});
