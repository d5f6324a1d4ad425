// @module-tag slow
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compress, open } from '../src/index.js';
import { complaint, interruptedWhen, killedAfter, weightpress } from './helpers/cli.js';
import { leaveBehind, leftovers } from './helpers/leftovers.js';
import { safetensors, seededRandom } from './helpers/safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'weightpress-resume-'));
const model = join(folder, 'model');
const output = join(folder, 'model.wpk');
let whole: Buffer;

beforeAll(async () => {
  mkdirSync(model);
  const random = seededRandom(1);
  const noise = (count: number) =>
    new Uint8Array(Float32Array.from({ length: count }, () => (random() + random() - 1) / 50).buffer);
  const tensors = Array.from({ length: 8 }, (_, i) => ({
    name: `layer.${i}`,
    dtype: 'F32',
    shape: [1024, 1536],
    data: noise(1024 * 1536),
  }));
  writeFileSync(join(model, 'model.safetensors'), safetensors(tensors));
  writeFileSync(join(model, 'config.json'), '{"model_type":"test"}');
  const opened = await open(model);
  await compress(opened, output);
  await opened.close();
  whole = readFileSync(output);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts without an output. */
function clear() {
  for (const path of [output, ...leftovers(output)]) rmSync(path, { force: true });
}

const resume = () => weightpress('compress', model, '-o', output, '--resume', '--force');

function expectWhole() {
  expect(readFileSync(output).equals(whole)).toBe(true);
  expect(leftovers(output)).toEqual([]);
}

describe('compress --resume', () => {
  test('after kill -9 at a random moment gives the file of an undisturbed run, 25 times out of 25', {
    tags: 'slow',
  }, async () => {
    const random = seededRandom(2);
    let killed = 0;
    for (let i = 0; i < 25; i++) {
      clear();
      // several times in a row in every fifth
      for (let times = i % 5 === 0 ? 3 : 1; times > 0; times--)
        if (await killedAfter(120 + random() * 250, 'compress', model, '-o', output, '--resume', '--force'))
          killed++;
      if (leftovers(output).length || !existsSync(output)) expect(resume().status).toBe(0);
      expectWhole();
    }
    expect(killed).toBeGreaterThan(25); // else the moments say nothing
  });

  test('control-C says how to go on, and going on gives the whole file', async () => {
    clear();
    const begun = () => leftovers(output).some((path) => statSync(path).size > 2 ** 21);
    const { status, stderr } = await interruptedWhen(begun, 'compress', model, '-o', output);
    expect(status).toBe(130);
    expect(stderr.trim()).toMatch(/^weightpress: interrupted; .*--resume; partial output: .*\.partial$/);
    expect(existsSync(output)).toBe(false);
    expect(resume().status).toBe(0);
    expectWhole();
  });

  const damages: [string, (bytes: Buffer) => Buffer][] = [
    ['a torn last frame', (bytes) => bytes.subarray(0, 10_000_123)],
    ['a file header only', (bytes) => bytes.subarray(0, 16)],
    ['nothing at all', (bytes) => bytes.subarray(0, 0)],
    [
      'a flipped bit in its middle',
      (bytes) =>
        Buffer.concat([
          bytes.subarray(0, 9_000_000),
          Buffer.of(bytes[9_000_000]! ^ 8),
          bytes.subarray(9_000_001),
        ]),
    ],
    [
      'garbage behind whole frames',
      (bytes) => Buffer.concat([bytes.subarray(0, 9_000_000), Buffer.alloc(5000, 0xa5)]),
    ],
    ['everything but its name', (bytes) => bytes],
  ];
  test.each(damages)('goes on from %s', (_, damage) => {
    clear();
    leaveBehind(output, damage(whole));
    expect(resume().status).toBe(0);
    expectWhole();
  });

  test('just runs when nothing was left', () => {
    clear();
    expect(resume().status).toBe(0);
    expectWhole();
  });

  test('refuses when the model has changed meanwhile, in its weights or in its files', () => {
    const path = join(model, 'model.safetensors');
    const before = readFileSync(path);
    const changed = Buffer.from(before);
    changed[1_000_000]! ^= 1;
    clear();
    leaveBehind(output, whole.subarray(0, 20_000_000));
    writeFileSync(path, changed);
    const weights = complaint(resume());
    writeFileSync(path, before);
    expect(weights).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(weights.message).toMatch(/has changed since the interrupted run/);

    clear();
    leaveBehind(output, whole.subarray(0, 20_000_000));
    writeFileSync(join(model, 'added.json'), '{}');
    const files = complaint(resume());
    rmSync(join(model, 'added.json'));
    expect(files).toMatchObject({ status: 2, lines: 1, stack: false });
    expect(files.message).toMatch(/another model or with other options/);
    expect(existsSync(output)).toBe(false);
  });

  test('a changed side file of the same length is noticed', () => {
    const path = join(model, 'config.json');
    const before = readFileSync(path);
    clear();
    leaveBehind(output, whole.subarray(0, 20_000_000));
    writeFileSync(path, '{"model_type":"tesT"}');
    const result = complaint(resume());
    writeFileSync(path, before);
    expect(result).toMatchObject({ status: 2, lines: 1, stack: false });
  });
});
