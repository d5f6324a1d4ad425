import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { compress, decompress, inspect, verify } from '../src/index.js';
import { complaint, weightpress } from './helpers/cli.js';
import { frameOf, sealed, withDirectory } from './helpers/directory.js';
import { folder, safetensors } from './helpers/safetensors.js';

const place = folder();
const bad = join(place, 'bad.wpk');
let good: Buffer;

beforeAll(async () => {
  const zeros = { name: 'zeros', dtype: 'U8', shape: [2 ** 20], data: new Uint8Array(2 ** 20) };
  await compress(folder({ 'model.safetensors': safetensors([zeros]) }), join(place, 'good.wpk'));
  good = readFileSync(join(place, 'good.wpk'));
});

/** The most memory that a program which runs this takes, in bytes. */
function peakOf(code: string): number {
  const script = `
    import { readFileSync } from 'node:fs';
    import * as weightpress from ${JSON.stringify(join(process.cwd(), 'dist/index.js'))};
    await (${code})(weightpress).catch(() => {});
    process.stdout.write(/VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  return Number(stdout) * 1024;
}

describe('a small file that would become a large one', () => {
  // the same tensor 2,000 times over: 2 GB of a few hundred bytes
  const many = () =>
    withDirectory(good, (d) => {
      const copies = Array.from({ length: 2000 }, (_, i) => ({
        ...{ name: `copy ${i}`, dtype: 'U8', shape: [2 ** 20], role: 'other', sameAs: 0 },
      }));
      d.tensors.push(...copies);
      d.weightFiles[0].tensors += copies.length;
      d.weightFiles[0].length += copies.length * 2 ** 20;
    });

  test('is refused before anything is written, saying how large it would be and how to allow it', async () => {
    writeFileSync(bad, many());
    const out = join(place, 'out');
    for (const args of [
      ['decompress', bad, '-o', out],
      ['verify', bad],
    ]) {
      const { status, lines, message } = complaint(weightpress(...args));
      expect({ args, status, lines }).toEqual({ args, status: 2, lines: 1 });
      expect(message).toMatch(
        /would restore 2098\d{6}, \d+ times as many; the limit is 1000 times; --max-expansion allows more/,
      );
    }
    await expect(inspect(out)).rejects.toThrow(/no such file/);
    expect((await inspect(bad)).tensors).toHaveLength(2001); // nothing is decoded
  });

  test('is read when the option allows it; then its damage is reported', async () => {
    writeFileSync(bad, many());
    await expect(decompress(bad, join(place, 'out'), { maxExpansion: 1e9 })).rejects.toThrow(
      /manifest and the directory differ/,
    );
  });
});

test.each([
  ['arrays', `{"x":[${'[],'.repeat(20_000_000)}[]]}`],
  ['one text', `{"x":"${' '.repeat(2 ** 26)}"}`],
])('a directory that is a bomb of %s takes no memory', (_, json) => {
  const payload = deflateRawSync(json);
  expect(payload.length).toBeLessThan(200_000);
  writeFileSync(bad, sealed(good, payload));
  const peak = peakOf(`({ inspect }) => inspect(${JSON.stringify(bad)})`);
  expect(peak).toBeGreaterThan(2 ** 20);
  expect(peak).toBeLessThan(300e6);
});

test('rows too wide to be decoded in bounded memory are no lossy tensor', async () => {
  writeFileSync(
    bad,
    withDirectory(good, (d) => {
      Object.assign(d.tensors[0], { dtype: 'BF16', shape: [4, 2 ** 17], codec: 'trellis' });
    }),
  );
  await expect(inspect(bad)).rejects.toThrow(/codec trellis cannot store BF16 \[4,131072\]/);
});

test('a transformed tensor of next to nothing is refused', async () => {
  writeFileSync(
    bad,
    withDirectory(good, (d) => {
      Object.assign(d.tensors[0], { dtype: 'F32', shape: [1024, 2 ** 13], codec: 'transform' });
    }),
  );
  await expect(inspect(bad)).rejects.toThrow(/too few for 33554432 decoded bytes/);
});

describe('the manifest says what the directory says', () => {
  const manifestBytes = () => good.readUInt32LE(20);
  const cases: Record<string, [() => Buffer, RegExp]> = {
    'another source': [
      () =>
        withDirectory(good, (d) => {
          d.source = 'other';
        }),
      /manifest and the directory differ in "source"/,
    ],
    'a tensor of another name': [
      () =>
        withDirectory(good, (d) => {
          d.tensors[0].name = 'other';
        }),
      /differ in "tensors"/,
    ],
    'no JSON': [
      () => {
        const manifest = frameOf(1, Buffer.alloc(manifestBytes()));
        return Buffer.concat([good.subarray(0, 16), manifest, good.subarray(16 + manifest.length)]);
      },
      /does not inflate/,
    ],
  };
  test.each(Object.keys(cases))('%s: verify finds what decompress refuses', async (what) => {
    const [make, message] = cases[what]!;
    writeFileSync(bad, make());
    const { problems } = await verify(bad);
    expect(problems[0]).toMatch(message);
    await expect(decompress(bad, join(place, what))).rejects.toThrow(problems[0]!);
  });
});

test.each([
  ['a lone surrogate', 'a\ud800.txt', /not valid Unicode/],
  ['a control of direction', 'gpj.\u202exe', /control characters/],
  ['a device of Windows', 'sub/NUL.txt', /device name on Windows/],
  ['a file below a file', 'model.safetensors/x', /is a file and a folder/],
  ['an empty part', 'a//b', /empty part/],
])('a name with %s is refused', async (_, name, message) => {
  writeFileSync(
    bad,
    withDirectory(good, (d) => {
      d.emptyFolders = [name];
    }),
  );
  await expect(inspect(bad)).rejects.toThrow(message);
});
