import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { compress, inspect, open, verify } from '../src/index.js';
import { complaint, weightpress } from './helpers/cli.js';
import {
  withDirectory as changed,
  sealed as sealedWith,
  directoryStart as startOf,
  trailerOf,
} from './helpers/directory.js';
import { needs } from './helpers/needs.js';
import { f32, folder, safetensors, seededRandom } from './helpers/safetensors.js';

const place = folder();
const model = join(place, 'model');
const file = join(place, 'good.wpk');
const bad = join(place, 'bad.wpk');
let good: Buffer;

beforeAll(async () => {
  const random = seededRandom(3);
  const values = (count: number) =>
    Float32Array.from({ length: count }, () => (random() + random() - 1) / 50);
  mkdirSync(model);
  writeFileSync(join(model, 'config.json'), '{"model_type":"test"}');
  writeFileSync(join(model, 'README.md'), 'A model of a test.\n');
  writeFileSync(
    join(model, 'model.safetensors'),
    safetensors([f32('a', [64, 48], values(64 * 48)), f32('b', [48], values(48))]),
  );
  const opened = await open(model);
  await compress(opened, file);
  await opened.close();
  good = readFileSync(file);
});

/** A command on a hostile file: one line, the exit code, and nothing left behind. */
function refuses(result: ReturnType<typeof complaint>, message: RegExp, status = 2) {
  expect(result).toMatchObject({ status, lines: 1, stack: false, stdout: '' });
  expect(result.message).toMatch(message);
  expect(existsSync(join(place, 'out'))).toBe(false);
  expect(readdirSync(place).filter((name) => name.endsWith('.partial'))).toEqual([]);
}

const directoryStart = () => startOf(good);
const sealed = (payload: Buffer) => sealedWith(good, payload);
/** The good file with another directory, all checksums right. */
const withDirectory = (
  ...change: Parameters<typeof changed> extends [Buffer, ...infer Rest] ? Rest : never
) => changed(good, ...change);

describe('a damaged .wpk', () => {
  test('truncated at any of 200 places is found by verify', async () => {
    const random = seededRandom(4);
    for (let i = 0; i < 200; i++) {
      writeFileSync(bad, good.subarray(0, Math.floor(random() * good.length)));
      const result = await verify(bad).catch((error) => ({
        good: false,
        problems: [error.message as string],
      }));
      expect(result.good).toBe(false);
      expect(result.problems[0]).not.toMatch(/\n/);
    }
  });

  test('one flipped bit at any of 500 places is found by verify', { tags: 'slow' }, async () => {
    const random = seededRandom(5);
    let found = 0;
    for (let i = 0; i < 500; i++) {
      const bytes = Buffer.from(good);
      bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
      writeFileSync(bad, bytes);
      const result = await verify(bad, { threads: i % 10 === 0 ? 2 : 0 }).catch(() => ({ good: false }));
      if (!result.good) found++;
    }
    expect(found).toBe(500);
  });

  test('makes verify exit with 1 and the others with 2', () => {
    const bytes = Buffer.from(good);
    bytes[good.length >> 1]! ^= 1;
    writeFileSync(bad, bytes);
    refuses(complaint(weightpress('decompress', bad, '-o', join(place, 'out'))), /checksum|digest|SHA-256/);
    expect(complaint(weightpress('verify', bad))).toMatchObject({ status: 1, stack: false });
    writeFileSync(bad, good.subarray(0, good.length - 1));
    refuses(complaint(weightpress('verify', bad)), /truncated/, 1);
    refuses(complaint(weightpress('inspect', bad)), /truncated/);
    refuses(complaint(weightpress('decompress', bad, '-o', join(place, 'out'))), /truncated/);
  });
});

describe('a malicious .wpk', () => {
  const cases: [string, () => Buffer, RegExp][] = [
    [
      'a newer version',
      () => Buffer.concat([good.subarray(0, 8), Buffer.of(2), good.subarray(9)]),
      /unsupported \.wpk version 2, expected 1/,
    ],
    ['another kind of file', () => Buffer.alloc(1000, 0x20), /not a .wpk/],
    [
      'a directory of 2^60 bytes',
      () => Buffer.concat([good.subarray(0, -48), trailerOf(directoryStart(), 2n ** 60n, good.length)]),
      /directory range of/,
    ],
    [
      'a directory at 2^60',
      () => Buffer.concat([good.subarray(0, -48), trailerOf(2n ** 60n, 100, good.length)]),
      /directory range of/,
    ],
    [
      'a directory that inflates to 2 GB',
      () => sealed(deflateRawSync(Buffer.alloc(2 ** 29, 0x20))),
      /is over the limit of/,
    ],
    ['a directory that is not JSON', () => sealed(deflateRawSync('{"tensors":')), /JSON/],
    [
      'a side file ../evil',
      () =>
        withDirectory((d) => {
          d.sideFiles[0].name = '../evil';
        }),
      /leaves its folder/,
    ],
    [
      'a side file with a backslash',
      () =>
        withDirectory((d) => {
          d.sideFiles[0].name = '..\\evil';
        }),
      /backslash/,
    ],
    [
      'a weight file /etc/evil',
      () =>
        withDirectory((d) => {
          d.weightFiles[0].name = '/etc/evil';
        }),
      /leaves its folder/,
    ],
    [
      'a side file with the name of a weight file',
      () =>
        withDirectory((d) => {
          d.sideFiles[0].name = 'model.safetensors';
        }),
      /is a duplicate/,
    ],
    [
      'the same tensor twice',
      () =>
        withDirectory((d) => {
          d.tensors[1].name = 'a';
        }),
      /is a duplicate/,
    ],
    [
      'the same key twice',
      () =>
        withDirectory(
          () => {},
          (d) => JSON.stringify(d).replace('{', '{"source":"x",'),
        ),
      /duplicate JSON key/,
    ],
    [
      'a shape of 2^60',
      () =>
        withDirectory((d) => {
          d.tensors[0].shape = [2 ** 30, 2 ** 30];
        }),
      /too large/,
    ],
    [
      'a shape that needs more blocks',
      () =>
        withDirectory((d) => {
          d.tensors[0].shape = [2 ** 20, 2 ** 10];
        }),
      /expected 4096 frames of tensor "a", found 1/,
    ],
    [
      'an offset before the manifest',
      () =>
        withDirectory((d) => {
          d.tensors[0].offset = 0;
        }),
      /offset of tensor "a" is 0/,
    ],
    [
      'overlapping tensors',
      () =>
        withDirectory((d) => {
          d.tensors[1].offset = d.tensors[0].offset;
        }),
      /offset of tensor "b" is/,
    ],
    [
      'a frame of negative length',
      () =>
        withDirectory((d) => {
          d.tensors[0].frames = [-5];
        }),
      /length/,
    ],
    [
      'no tensors',
      () =>
        withDirectory((d) => {
          delete d.tensors;
        }),
      /tensors should be an array/,
    ],
    [
      'an unknown dtype',
      () =>
        withDirectory((d) => {
          d.tensors[0].dtype = 'F128';
        }),
      /F128/,
    ],
    [
      'a tensor stored as a later one',
      () =>
        withDirectory((d) => {
          d.tensors[0] = { name: 'a', dtype: 'F32', shape: [64, 48], role: 'other', sameAs: 1 };
        }),
      /sameAs/,
    ],
  ];
  test.each(cases)('%s: one line, exit code 2', async (_, make, message) => {
    writeFileSync(bad, make());
    await expect(inspect(bad)).rejects.toThrow(message);
    refuses(complaint(weightpress('decompress', bad, '-o', join(place, 'out'))), message);
  });

  // biome-ignore lint/suspicious/noExplicitAny: a directory that a test makes wrong
  test.each<[string, (d: any) => void, RegExp]>([
    [
      'an unknown codec',
      (d) => {
        d.tensors[0].codec = 'rft';
      },
      /unknown codec "rft"/,
    ],
    [
      'another digest of a tensor and of its file',
      (d) => {
        d.tensors[0].sha256 = d.tensors[1].sha256;
        d.weightFiles[0].sha256 = d.tensors[1].sha256;
      },
      /tensor ".*SHA-256 of the elements is/,
    ],
    [
      'another digest of a weight file',
      (d) => {
        d.weightFiles[0].sha256 = d.tensors[1].sha256;
      },
      /SHA-256 of model\.safetensors is/,
    ],
    [
      'a larger length of a side file',
      (d) => {
        d.sideFiles[0].length = 2 ** 40;
      },
      /1 frames, expected 1048576/,
    ],
    [
      'a larger length of a weight file',
      (d) => {
        d.weightFiles[0].length += 8;
      },
      /manifest and the directory differ/,
    ],
  ])('%s: refused when it is decoded', (_, change, message) => {
    writeFileSync(bad, withDirectory(change));
    refuses(complaint(weightpress('decompress', bad, '-o', join(place, 'out'))), message);
  });

  test('the digest of another tensor: restored with its file, whose digest covers it, and found by verify', () => {
    writeFileSync(
      bad,
      withDirectory((d) => {
        d.tensors[0].sha256 = d.tensors[1].sha256;
      }),
    );
    expect(weightpress('decompress', bad, '-o', join(place, 'out')).status).toBe(0);
    rmSync(join(place, 'out'), { recursive: true });
    expect(complaint(weightpress('verify', bad)).message).toMatch(/tensor ".*SHA-256 of the elements is/);
  });

  test('members that this version does not know are no reason to refuse', async () => {
    writeFileSync(
      bad,
      withDirectory((d) => {
        d.future = { a: 1 };
        d.tensors[0].future = true;
      }),
    );
    expect((await inspect(bad)).tensors).toHaveLength(2);
    expect((await verify(bad)).good).toBe(true);
  });

  test('a deflate bomb takes no memory', { tags: 'slow' }, () => {
    writeFileSync(bad, sealed(deflateRawSync(Buffer.alloc(2 ** 30, 0x20))));
    // VmHWM is this program's own: maxRSS would count the memory of the process that forked it
    const script = `
      import { readFileSync } from 'node:fs';
      import { inspect } from ${JSON.stringify(join(process.cwd(), 'dist/index.js'))};
      await inspect(${JSON.stringify(bad)}).catch(() => {});
      process.stdout.write(/VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(Number(stdout) * 1024).toBeGreaterThan(0);
    expect(Number(stdout) * 1024).toBeLessThan(300e6);
  });
});

describe('outputs', () => {
  const out = () => join(place, 'new.wpk');

  test('an output that is the input, by any name, is refused and untouched', () => {
    const weights = join(model, 'model.safetensors');
    const before = readFileSync(weights);
    symlinkSync(weights, join(place, 'link.wpk'));
    linkSync(weights, join(place, 'hard.wpk'));
    for (const path of [weights, join(place, 'link.wpk'), join(place, 'hard.wpk')])
      refuses(complaint(weightpress('compress', model, '-o', path, '--force')), /the output is the input/);
    refuses(
      complaint(weightpress('compress', model, '-o', model, '--force')),
      /the output is the input|found a folder/,
    );
    refuses(complaint(weightpress('decompress', file, '-o', place, '--force')), /contains the input/);
    expect(readFileSync(weights).equals(before)).toBe(true);
    expect(readFileSync(file).equals(good)).toBe(true);
    rmSync(join(place, 'link.wpk'));
    rmSync(join(place, 'hard.wpk'));
  });

  test('what exists is replaced only with --force', () => {
    writeFileSync(out(), 'precious');
    refuses(complaint(weightpress('compress', model, '-o', out())), /already exists; --force/);
    expect(readFileSync(out(), 'utf8')).toBe('precious');
    expect(weightpress('compress', model, '-o', out(), '--force').status).toBe(0);
    expect(readFileSync(out()).equals(good)).toBe(true);
    const restored = folder({ 'mine.txt': 'precious' });
    refuses(complaint(weightpress('decompress', file, '-o', restored)), /not empty; --force/);
    expect(readFileSync(join(restored, 'mine.txt'), 'utf8')).toBe('precious');
    rmSync(out());
  });

  test('a place that cannot be written to', () => {
    for (const path of [join(file, 'below-a-file.wpk'), join(place, 'no', 'such', 'folder.wpk')])
      refuses(complaint(weightpress('compress', model, '-o', path)), /not a directory|no such file/);
    refuses(
      complaint(weightpress('decompress', file, '-o', join(file, 'below'))),
      /not a directory|already exists/,
    );
  });

  const disk = folder();
  const mount = () => spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).status === 0;
  const umount = () => spawnSync('umount', [disk]);
  const canMount = mount();
  if (canMount) umount();
  test(
    'a full disk: one line, and nothing left on it',
    needs(canMount, 'root, to mount a small disk'),
    () => {
      try {
        mount();
        const big = folder({
          'model.safetensors': safetensors([
            f32('a', [300, 300], Float32Array.from({ length: 90_000 }, seededRandom(6))),
          ]),
        });
        const compressed = complaint(weightpress('compress', big, '-o', join(disk, 'full.wpk')));
        refuses(compressed, /no space left/);
        const packed = join(place, 'big.wpk');
        expect(weightpress('compress', big, '-o', packed).status).toBe(0);
        refuses(complaint(weightpress('decompress', packed, '-o', join(disk, 'full'))), /no space left/);
        expect(readdirSync(disk)).toEqual([]);
      } finally {
        umount();
      }
    },
  );
});

describe('the command line', () => {
  const commands = [
    'analyze',
    'compress',
    'decompress',
    'verify',
    'inspect',
    'evaluate',
    'generate',
    'catalog',
  ];
  test.each(commands)('%s --help shows an example', (command) => {
    const { status, stdout } = weightpress(command, '--help');
    expect(status).toBe(0);
    expect(stdout).toContain(`weightpress ${command}`);
    expect(stdout).toContain('Example');
  });

  test.each(['verify', 'decompress', 'compress'])('%s does not ignore the first of two values', (command) => {
    const twice = ['--base', 'a', '--quiet', '--base', 'b', '--quiet'];
    const { status, stdout, stderr } = weightpress(command, 'x', ...twice);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^error: option '--base <model>' may be given once\n/);
  });

  test.each([
    [['fly']],
    [['compress']],
    [['compress', 'x']],
    [['inspect', 'x', 'y']],
    [['compress', 'x', '-o', 'y', '--threads', '0']],
    [['compress', 'x', '-o', 'y', '--threads', 'many']],
    [['compress', 'x', '-o', 'y', '--nonsense']],
  ])('wrong usage %j exits with 2 and no stack', (args) => {
    const { status, stderr } = weightpress(...args);
    expect(status).toBe(2);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('models that cannot be read: one line, exit code 2', () => {
    const shards = (index: object) => folder({ 'model.safetensors.index.json': JSON.stringify(index) });
    const cases: [string, RegExp][] = [
      [join(place, 'nowhere'), /no such file/],
      [folder({ 'README.md': '' }), /expected model.safetensors/],
      [shards({ weight_map: { a: 'model-1.safetensors' } }), /model-1.safetensors.*no such file/],
      [shards({ weight_map: { a: '../outside.safetensors' } }), /in this folder/],
      [folder({ 'model.safetensors': Buffer.from([255, 255, 255, 255, 0, 0, 0, 0, 123]) }), /header/],
    ];
    for (const [path, message] of cases) refuses(complaint(weightpress('analyze', path)), message);
    refuses(complaint(weightpress('compress', folder(), '-o', join(place, 'out'))), /no files/);
  });

  test('--json parses', () => {
    const again = join(place, 'json.wpk');
    const parse = (...args: string[]) => JSON.parse(weightpress(...args, '--json').stdout);
    expect(parse('analyze', model)).toBeTypeOf('object');
    const { rows, fileBytes } = parse('compress', model, '-o', again);
    const sum = rows.reduce(
      (total: number, row: { compressedBytes: number }) => total + row.compressedBytes,
      0,
    );
    expect(sum).toBe(fileBytes);
    expect(fileBytes).toBe(good.length);
    expect(parse('verify', again, '--against', model)).toMatchObject({ good: true, bitExact: true });
    expect(parse('inspect', again).tensors).toHaveLength(2);
    expect(parse('decompress', again, '-o', join(place, 'json'))).toMatchObject({
      folder: join(place, 'json'),
    });
  });

  test('verify tells a file of another model from its own', () => {
    const other = folder({ 'model.safetensors': safetensors([f32('a', [2], [1, 2])]) });
    const { status, stderr } = weightpress('verify', file, '--against', other);
    expect(status).toBe(1);
    expect(stderr).toMatch(/model\.safetensors: differs from the original/);
    expect(stderr).toMatch(/config\.json: is not in the original/);
  });
});
