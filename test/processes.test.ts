// @module-tag slow
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  attachQuality,
  compress,
  decompress,
  exportSafetensors,
  inspect,
  open,
  verify,
} from '../src/index.js';
import { complaint, weightpress, weightpressWith } from './helpers/cli.js';
import { HubServer, sha256 } from './helpers/hub-server.js';
import { deadName, leaveBehind, leftovers } from './helpers/leftovers.js';
import { needs } from './helpers/needs.js';
import { Running } from './helpers/processes.js';
import { folder, safetensors, seededRandom, type TestTensor } from './helpers/safetensors.js';

// Files survive several processes at once, signals, kill -9, threads that die, and what others do to them meanwhile.

const random = seededRandom(3);
const noise = (count: number) =>
  new Uint8Array(Float32Array.from({ length: count }, () => (random() - 0.5) / 20).buffer);
const tensors = Array.from(
  { length: 6 },
  (_, i): TestTensor => ({ name: `layer.${i}`, dtype: 'F32', shape: [512, 512], data: noise(512 * 512) }),
);
const WEIGHTS = safetensors(tensors);
const TINY = 'examples/gpt-neo-tiny';
const TEXT = 'examples/held-out.txt';
let place: string;
let model: string;
let whole: Buffer;

async function compressed(output: string, options = {}) {
  const opened = await open(model);
  await compress(opened, output, { threads: 1, ...options }).finally(() => opened.close());
}

beforeAll(async () => {
  model = folder({ 'model.safetensors': WEIGHTS, 'config.json': '{"model_type":"test"}' });
  const output = join(folder(), 'whole.wpk');
  await compressed(output);
  whole = readFileSync(output);
});
beforeEach(() => {
  place = folder();
});

const at = (name: string) => join(place, name);

describe('two processes', () => {
  test('compress to one name: one file, whole; who comes second is told in a line', {
    tags: 'slow',
  }, async () => {
    for (let round = 0; round < 3; round++) {
      const output = at(`${round}.wpk`);
      const runs = [0, 1].map(() => new Running(['compress', model, '-o', output]));
      const ended = await Promise.all(runs.map((run) => run.ended));
      expect(ended.map(({ status }) => status).sort()).toEqual([0, 2]);
      const { stderr } = ended.find(({ status }) => status === 2)!;
      expect(stderr).toMatch(
        /^weightpress: .*\.wpk: (was created by another program in the meantime|already exists); --force replaces it\n$/,
      );
      expect(readFileSync(output).equals(whole)).toBe(true);
      expect(leftovers(output)).toEqual([]);
    }
  });

  test('compress to one name with --force: whichever was last, it is whole', async () => {
    const output = at('x.wpk');
    const runs = [0, 1].map(() => new Running(['compress', model, '-o', output, '--force']));
    for (const { ended } of runs) expect(await ended).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(output).equals(whole)).toBe(true);
    expect(leftovers(output)).toEqual([]);
  }, 60_000);

  test('attach to one file: it stays whole and has what one of them measured', { tags: 'slow' }, async () => {
    const path = at('tiny.wpk');
    expect(weightpress('compress', TINY, '-o', path).status).toBe(0);
    const evaluate = (tokens: string) =>
      new Running(['evaluate', path, '--text', TEXT, '--tokens', tokens, '--attach']);
    for (let round = 0; round < 2; round++) {
      const ended = await Promise.all([evaluate('512'), evaluate('513')].map((run) => run.ended));
      expect(ended.map(({ status }) => status)).toContain(0);
      for (const { status, stderr } of ended)
        if (status !== 0) {
          expect(status).toBe(2);
          expect(stderr).toMatch(/^weightpress: .*tiny\.wpk: was replaced while being read\n$/);
        }
      expect((await verify(path)).good).toBe(true);
      expect((await inspect(path)).quality).toMatchObject({ text: { name: 'held-out.txt' } });
      expect(leftovers(path)).toEqual([]);
    }
  });

  test('decompress into one folder: one is whole, the other is told', async () => {
    writeFileSync(at('x.wpk'), whole);
    const runs = [0, 1].map(() => new Running(['decompress', at('x.wpk'), '-o', at('out')]));
    const ended = await Promise.all(runs.map((run) => run.ended));
    expect(ended.map(({ status }) => status).sort()).toEqual([0, 2]);
    expect(ended.find(({ status }) => status === 2)!.stderr).toMatch(
      /^weightpress: .*already exists and is not empty; --force replaces it\n$/,
    );
    expect(readdirSync(place).sort()).toEqual(['out', 'x.wpk']);
    expect(readFileSync(at('out/model.safetensors')).equals(WEIGHTS)).toBe(true);
  }, 60_000);
});

describe('one cache', () => {
  let hub: HubServer;
  const NAME = 'someone/model';
  const blobs = () => at('hub/models--someone--model/blobs');
  const keep = (output: string) =>
    new Running(['compress', NAME, '-o', at(output), '--keep'], {
      env: { HF_ENDPOINT: hub.endpoint, HF_HOME: place },
    });
  beforeAll(async () => {
    hub = await HubServer.start();
  });
  beforeEach(() => {
    hub.reset();
    hub.add(NAME, { 'model.safetensors': WEIGHTS, 'config.json': '{"model_type":"test"}' });
  });
  afterAll(() => hub.stop());

  test('two processes that download into it leave the right weights, and nothing else', async () => {
    const runs = ['a.wpk', 'b.wpk'].map(keep);
    for (const { ended } of runs) expect(await ended).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(join(blobs(), sha256(WEIGHTS))).equals(WEIGHTS)).toBe(true);
    expect(readdirSync(blobs())).toHaveLength(2);
    for (const name of ['a.wpk', 'b.wpk']) {
      await decompress(at(name), at(`${name}.out`));
      expect(readFileSync(at(`${name}.out/model.safetensors`)).equals(WEIGHTS)).toBe(true);
    }
  }, 60_000);

  test('a download that was killed is gone on with by the next run, and one that still runs is left alone', async () => {
    hub.fault = ({ url, range }) =>
      url.includes('signature') && range !== undefined ? { cutAfter: 400_000 } : false;
    const parts = () =>
      existsSync(blobs()) ? readdirSync(blobs()).filter((name) => name.endsWith('.incomplete')) : [];
    const killed = await keep('a.wpk').endWhen(
      () => parts().some((name) => statSync(join(blobs(), name)).size > 1_000_000),
      'SIGKILL',
    );
    expect(killed.signal).toBe('SIGKILL');
    const [left] = parts();
    const have = statSync(join(blobs(), left!)).size;
    const alive = join(blobs(), left!.replace(/-\d+-[0-9a-f]{12}\./, `-${process.pid}-0123456789ab.`));
    writeFileSync(alive, 'of this process');
    hub.reset();
    expect(await keep('a.wpk').ended).toMatchObject({ status: 0, stderr: '' });
    expect(hub.sentBytes).toBeLessThan(WEIGHTS.length - have + 10_000);
    expect(readFileSync(join(blobs(), sha256(WEIGHTS))).equals(WEIGHTS)).toBe(true);
    expect(readFileSync(alive, 'utf8')).toBe('of this process');
    expect(parts()).toHaveLength(1);
  }, 60_000);

  test('bytes that a torn download has left do not reach the weights', async () => {
    mkdirSync(blobs(), { recursive: true });
    const torn = Buffer.from(WEIGHTS.subarray(0, 2_000_000));
    torn.fill(0, 1_000_000);
    writeFileSync(deadName(join(blobs(), sha256(WEIGHTS)), 'incomplete'), torn);
    expect(await keep('a.wpk').ended).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(join(blobs(), sha256(WEIGHTS))).equals(WEIGHTS)).toBe(true);
  }, 60_000);

  const wrong: [string, (bytes: Buffer) => Buffer][] = [
    ['a flipped bit', (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.of(bytes.at(-1)! ^ 1)])],
    ['an end that is missing', (bytes) => bytes.subarray(0, bytes.length - 8)],
  ];
  test.each(wrong)(
    '%s in a cached blob is found before use, online and offline, with what to do',
    { tags: 'slow' },
    async (_, damage) => {
      expect(await keep('a.wpk').ended).toMatchObject({ status: 0 });
      const blob = join(blobs(), sha256(WEIGHTS));
      writeFileSync(blob, damage(Buffer.from(WEIGHTS)));
      for (const env of [{}, { HF_HUB_OFFLINE: '1' }] as Record<string, string>[]) {
        const all = { HF_ENDPOINT: hub.endpoint, HF_HOME: place, ...env };
        const said = complaint(await weightpressWith(all, 'compress', NAME, '-o', at('b.wpk')));
        expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
        expect(said.message).toMatch(/damaged cache file; delete it to download it again/);
        expect(existsSync(at('b.wpk'))).toBe(false);
      }
      expect(readFileSync(blob).equals(damage(Buffer.from(WEIGHTS)))).toBe(true);
    },
  );

  test('what one run fetched for itself and removes at its end is not what another has put there', {
    tags: 'slow',
  }, async () => {
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: place };
    const run = () =>
      new Running(
        ['compress', NAME, '-o', at('c.wpk'), '--codec', 'none', '--ratio', '4', '--no-calibration'],
        {
          env,
        },
      );
    const weights = () =>
      existsSync(blobs()) ? readdirSync(blobs()).filter((name) => /^[0-9a-f]{64}$/.test(name)) : [];
    const first = run();
    const moved = await new Promise<string>((resolve, reject) => {
      const timer = setInterval(() => {
        const [name] = weights();
        if (!name) return;
        clearInterval(timer);
        const [blob, other] = [join(blobs(), name), at('other')];
        copyFileSync(blob, other);
        renameSync(other, blob); // the same content, of another process
        resolve(blob);
      }, 5);
      first.ended.then(() => clearInterval(timer) ?? reject(new Error('ended before')), reject);
    });
    expect(await first.ended).toMatchObject({ status: 0, stderr: '' });
    expect(existsSync(moved)).toBe(true);
    expect(sha256(readFileSync(moved))).toBe(moved.split('/').at(-1));
  });
});

describe('a run that is stopped', () => {
  const big = (output: string) => leftovers(output).some((path) => statSync(path).size > 2 ** 20);

  test.each([
    ['SIGINT', 130, 'interrupted'],
    ['SIGTERM', 143, 'stopped by SIGTERM'],
    ['SIGHUP', 129, 'stopped by SIGHUP'],
  ] as const)(
    'by %s names what --resume goes on from, and it does',
    async (signal, code, said) => {
      const output = at('x.wpk');
      const run = new Running(['compress', model, '-o', output], { preload: SLOW });
      const { status, stderr } = await run.endWhen(() => big(output), signal);
      expect(status).toBe(code);
      const [left] = leftovers(output);
      expect(stderr).toBe(
        `weightpress: ${said}; to continue, run the same command with --resume; partial output: ${left}\n`,
      );
      expect(weightpress('compress', model, '-o', output, '--resume')).toMatchObject({
        status: 0,
        stderr: '',
      });
      expect(readFileSync(output).equals(whole)).toBe(true);
      expect(leftovers(output)).toEqual([]);
    },
    30_000,
  );

  test('by SIGTERM leaves no half-made folder, and the one that is there', async () => {
    writeFileSync(at('x.wpk'), whole);
    mkdirSync(at('out'));
    writeFileSync(at('out/mine.txt'), 'mine');
    const run = new Running(['decompress', at('x.wpk'), '-o', at('out'), '--force'], { preload: SLOW });
    const { status, stderr } = await run.endWhen(() => leftovers(at('out')).length > 0, 'SIGTERM');
    expect({ status, stderr }).toEqual({ status: 143, stderr: 'weightpress: stopped by SIGTERM\n' });
    expect(readdirSync(place).sort()).toEqual(['out', 'x.wpk']);
    expect(readFileSync(at('out/mine.txt'), 'utf8')).toBe('mine');
  }, 30_000);

  test('by kill -9 is named by the next, which leaves it alone without --resume', {
    tags: 'slow',
  }, async () => {
    const output = at('x.wpk');
    const killed = await new Running(['compress', model, '-o', output], { preload: SLOW }).endWhen(
      () => big(output),
      'SIGKILL',
    );
    expect(killed.signal).toBe('SIGKILL');
    const [left] = leftovers(output);
    const before = readFileSync(left!);
    const next = weightpress('compress', model, '-o', output);
    expect(next.status).toBe(0);
    expect(next.stderr).toBe(
      `weightpress: ${left}: left by an interrupted run; continue it with --resume, otherwise it may be deleted\n`,
    );
    expect(readFileSync(left!).equals(before)).toBe(true);
    const resumed = weightpress('compress', model, '-o', output, '--resume', '--force');
    expect(resumed).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(output).equals(whole)).toBe(true);
    expect(leftovers(output)).toEqual([]);
  });

  test('right after its file got its name: --resume does not touch the file through its other name', async () => {
    const output = at('x.wpk');
    writeFileSync(output, whole);
    linkSync(output, deadName(output));
    expect(weightpress('compress', model, '-o', at('y.wpk')).status).toBe(0);
    expect(complaint(weightpress('compress', model, '-o', output, '--resume')).status).toBe(2);
    expect(weightpress('compress', model, '-o', output, '--resume', '--force').status).toBe(0);
    expect(readFileSync(output).equals(whole)).toBe(true);
  }, 30_000);

  /** Another machine's, and a process's that is alive: nobody else goes on from them. */
  test.each([
    ['a live process', (output: string) => deadName(output, 'partial', process.pid), ''],
    [
      'another machine',
      (output: string) => `${output}.elsewhere-1-0123456789ab.partial`,
      'being written by another machine, or left by it',
    ],
  ])('what %s has in the making is not taken by --resume', (_, nameOf, said) => {
    const output = at('x.wpk');
    const other = nameOf(output);
    writeFileSync(other, whole.subarray(0, 3_000_000));
    const resumed = weightpress('compress', model, '-o', output, '--resume');
    expect(resumed.status).toBe(0);
    expect(resumed.stderr).toBe(said && `weightpress: ${other}: ${said}\n`);
    expect(statSync(other).size).toBe(3_000_000);
  });
});

/** Every write takes its time, so that there is one to be stopped in. */
const SLOW = `
import fs from 'node:fs/promises';
const handle = await fs.open(process.execPath);
const prototype = Object.getPrototypeOf(handle);
await handle.close();
const { write } = prototype;
prototype.write = async function (...args) {
  await new Promise((resolve) => setTimeout(resolve, 150));
  return write.apply(this, args);
};`;

describe('what goes wrong in the program itself is one line and exit code 3', () => {
  /** A thread that is ended before its module runs has exit code 0, later 1. */
  const THREAD_ENDED = expect.stringMatching(
    /^weightpress: unexpected: a worker thread ended \(exit code [01]\)\n$/,
  );
  const endsAfter = (messages: number, how: string) => `
import { Worker } from 'node:worker_threads';
const { postMessage } = Worker.prototype;
let left = ${messages};
Worker.prototype.postMessage = function (...args) {
  if (--left > 0) return postMessage.apply(this, args);
  ${how};
};`;

  test.each([
    ['lossless', []],
    ['lossy', ['--bits', '4', '--no-calibration']],
  ])(
    'a thread that ends, in a %s run',
    async (_, options) => {
      const run = new Running(['compress', TINY, '-o', at('x.wpk'), ...options], {
        preload: endsAfter(4, 'this.terminate()'),
      });
      const { status, stderr } = await run.ended;
      expect({ status, stderr }).toEqual({ status: 3, stderr: THREAD_ENDED });
      expect(readdirSync(place)).toEqual([]);
    },
    30_000,
  );

  test('a thread that ends while a file is verified is no failed check', async () => {
    writeFileSync(at('x.wpk'), whole);
    const { status, stderr } = await new Running(['verify', at('x.wpk')], {
      preload: endsAfter(3, 'this.terminate()'),
    }).ended;
    expect({ status, stderr }).toEqual({ status: 3, stderr: THREAD_ENDED });
  });

  test('an answer that never comes', async () => {
    const silent = `
import { Worker } from 'node:worker_threads';
const { on } = Worker.prototype;
Worker.prototype.postMessage = () => {};
Worker.prototype.on = function (...args) {
  on.apply(this, args);
  this.unref();
  return this;
};`;
    const { status, stderr } = await new Running(['compress', TINY, '-o', at('x.wpk')], { preload: silent })
      .ended;
    expect(status).toBe(3);
    const said = 'unexpected: stopped before the work was done';
    const [left] = leftovers(at('x.wpk'));
    expect(stderr).toBe(
      `weightpress: ${said}; to continue, run the same command with --resume; partial output: ${left}\n`,
    );
  }, 30_000);

  test('an error that nobody waits for', async () => {
    const thrown = await new Running(['compress', model, '-o', at('y.wpk')], {
      preload: `${SLOW}\nsetTimeout(() => { throw new TypeError('bad\\u001b[31m\\nnews'); }, 1500)`,
    }).ended;
    expect(thrown.status).toBe(3);
    expect(thrown.stderr).toMatch(
      /^weightpress: unexpected: bad\ufffd\[31m news(; to continue, run the same command.*)?\n$/,
    );
  }, 30_000);
});

test(
  'a standard output that takes nothing is one line, exit code 2',
  needs(existsSync('/dev/full'), '/dev/full'),
  () => {
    writeFileSync(at('x.wpk'), whole);
    const full = `exec ${process.execPath} dist/cli/main.js inspect ${at('x.wpk')} > /dev/full`;
    const said = execFileSync('sh', ['-c', `(${full}) 2>&1; echo $?`], { encoding: 'utf8' });
    expect(said).toBe('weightpress: standard output: no space left on the device\n2\n');
  },
);

describe('a source that changes while it is read', () => {
  const path = () => join(place, 'model/model.safetensors');
  beforeEach(() => {
    mkdirSync(at('model'));
    writeFileSync(path(), WEIGHTS);
    writeFileSync(at('model/config.json'), '{"model_type":"test"}');
    utimesSync(path(), 1, 1);
  });
  const changes: [string, () => void, RegExp][] = [
    [
      'is written to',
      () => writeFileSync(openSync(path(), 'r+'), WEIGHTS.subarray(0, 100)),
      /model\.safetensors.*changed while being read/,
    ],
    ['grows', () => appendFileSync(path(), 'x'), /model\.safetensors.*changed while being read/],
    [
      'shrinks',
      () => truncateSync(path(), 1_000_000),
      /model\.safetensors.*(changed while being read|end of file while reading)/,
    ],
    [
      'is replaced',
      () => {
        writeFileSync(at('other'), WEIGHTS);
        renameSync(at('other'), path());
      },
      /model\.safetensors.*was replaced while being read/,
    ],
  ];
  type Producer = (
    opened: Awaited<ReturnType<typeof open>>,
    output: string,
    onProgress: () => void,
  ) => Promise<unknown>;
  const producers: [string, Producer][] = [
    ['compress', (opened, output, onProgress) => compress(opened, output, { threads: 1, onProgress })],
    [
      'a transform to a budget',
      (opened, output, onProgress) =>
        compress(opened, output, {
          codec: { transform: 'none' },
          budget: { ratio: 5 },
          calibration: false,
          onProgress,
        }),
    ],
    [
      'export',
      (opened, output, onProgress) => exportSafetensors(opened, output, { dtype: 'F16', onProgress }),
    ],
  ];
  for (const [what, produce] of producers)
    test.each(changes)(`%s: ${what} refuses, naming it`, { tags: 'slow' }, async (_, change, expected) => {
      const opened = await open(at('model'));
      let isChanged = false;
      const once = () => {
        if (!isChanged) change();
        isChanged = true;
      };
      await expect(produce(opened, at('out'), once).finally(() => opened.close())).rejects.toThrow(expected);
      expect(readdirSync(place)).toEqual(['model']);
    });

  test('a .wpk that is replaced while something is attached to it stays what it was replaced with', async () => {
    const wpk = at('x.wpk');
    writeFileSync(wpk, whole);
    const { disk } = await import('../src/io/node/disk.js');
    const { sync } = disk;
    disk.sync = async (handle) => {
      disk.sync = sync;
      writeFileSync(at('newer'), whole);
      renameSync(at('newer'), wpk);
      return sync(handle);
    };
    await expect(attachQuality(wpk, { kl: 1 })).rejects.toThrow(/x\.wpk: was replaced while being read/);
    expect(readFileSync(wpk).equals(whole)).toBe(true);
    expect(leftovers(wpk)).toEqual([]);
  });
});

describe('what is not a file is refused at once', () => {
  beforeEach(() => {
    execFileSync('mkfifo', [at('pipe')]);
    mkdirSync(at('model'));
    execFileSync('mkfifo', [at('model/model.safetensors')]);
  });
  test.each([
    ['analyze', 'pipe'],
    ['verify', 'pipe'],
    ['inspect', 'pipe'],
    ['decompress', 'pipe', '-o', 'out'],
    ['compress', 'pipe', '-o', 'out'],
    ['compress', '/dev/zero', '-o', 'out'],
    ['compress', 'model', '-o', 'out'],
    ['evaluate', '/dev/null', '--text', 'pipe'],
    ['audit', 'pipe'],
  ])('%s %s', (...args) => {
    const said = complaint(
      weightpress(...args.map((arg) => (/^(pipe|out|model)$/.test(arg) ? at(arg) : arg))),
    );
    expect(said).toMatchObject({ status: 2, lines: 1, stack: false });
  });
});

describe('nothing that the run did not make is touched', () => {
  test('files and links under the names that older versions used, and their targets', {
    tags: 'slow',
  }, async () => {
    writeFileSync(at('precious'), 'mine');
    symlinkSync(at('precious'), at('x.wpk.partial'));
    symlinkSync(at('precious'), at('x.wpk.scratch'));
    mkdirSync(at('out.partial'));
    writeFileSync(at('out.partial/mine'), 'mine');
    await compressed(at('x.wpk'));
    expect(
      weightpress('compress', TINY, '-o', at('x.wpk'), '--bits', '4', '--no-calibration', '--force').status,
    ).toBe(0);
    await compressed(at('x.wpk'), { force: true });
    await decompress(at('x.wpk'), at('out'));
    expect(readFileSync(at('precious'), 'utf8')).toBe('mine');
    expect(readlinkSync(at('x.wpk.partial'))).toBe(at('precious'));
    expect(readFileSync(at('out.partial/mine'), 'utf8')).toBe('mine');
  });

  test('an output that is a link is replaced itself, not what it leads to; a dangling one is there too', async () => {
    writeFileSync(at('precious'), 'mine');
    symlinkSync(at('precious'), at('x.wpk'));
    symlinkSync(at('nothing'), at('y.wpk'));
    await expect(compressed(at('x.wpk'))).rejects.toThrow(/already exists/);
    await expect(compressed(at('y.wpk'))).rejects.toThrow(/already exists/);
    await compressed(at('x.wpk'), { force: true });
    expect(readFileSync(at('precious'), 'utf8')).toBe('mine');
    expect(lstatSync(at('x.wpk')).isFile()).toBe(true);
  });

  test.each<[string, () => [input: string, out: string]]>([
    [
      'deep in the folder',
      () => {
        mkdirSync(at('out/a/b'), { recursive: true });
        writeFileSync(at('out/a/b/x.wpk'), whole);
        return [at('out/a/b/x.wpk'), at('out')];
      },
    ],
    [
      'there, by a link from elsewhere',
      () => {
        mkdirSync(at('out'));
        writeFileSync(at('out/x.wpk'), whole);
        symlinkSync(at('out/x.wpk'), at('x.wpk'));
        return [at('x.wpk'), at('out')];
      },
    ],
    [
      'there, by a link in it',
      () => {
        mkdirSync(at('out'));
        writeFileSync(at('x.wpk'), whole);
        symlinkSync(at('x.wpk'), at('out/x.wpk'));
        return [at('out/x.wpk'), at('out')];
      },
    ],
    [
      'there, the folder named by a link',
      () => {
        mkdirSync(at('real'));
        writeFileSync(at('real/x.wpk'), whole);
        symlinkSync(at('real'), at('out'));
        return [at('real/x.wpk'), at('out')];
      },
    ],
  ])('decompress --force keeps an input that is %s', async (_, make) => {
    const [input, out] = make();
    const before = readdirSync(place, { recursive: true }).sort();
    await expect(decompress(input, out, { force: true })).rejects.toThrow(/contains the input/);
    expect(readdirSync(place, { recursive: true }).sort()).toEqual(before);
    expect(readFileSync(input).equals(whole)).toBe(true);
  });

  test('export over a folder that a model is read from, or over a part of it, is refused', async () => {
    mkdirSync(at('model/onnx'), { recursive: true });
    mkdirSync(at('links'));
    writeFileSync(at('model/model.safetensors'), WEIGHTS);
    writeFileSync(at('model/onnx/mine'), 'mine');
    symlinkSync(at('model/model.safetensors'), at('links/model.safetensors'));
    for (const [from, to] of [
      ['model', 'model'],
      ['model', 'model/onnx'],
      ['links/model.safetensors', 'model'],
    ] as const) {
      const opened = await open(at(from));
      await expect(
        exportSafetensors(opened, at(to), { force: true }).finally(() => opened.close()),
      ).rejects.toThrow(/contains the input/);
    }
    expect(readFileSync(at('model/model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect(readFileSync(at('model/onnx/mine'), 'utf8')).toBe('mine');
  });

  test('a leftover of another model is left, and what was begun from it is not', async () => {
    const left = leaveBehind(at('x.wpk'), whole.subarray(0, 3_000_000));
    expect(weightpress('compress', TINY, '-o', at('x.wpk'), '--resume')).toMatchObject({ status: 2 });
    expect(existsSync(left) || leftovers(at('x.wpk')).length === 1).toBe(true);
    expect(statSync(leftovers(at('x.wpk'))[0]!).size).toBe(3_000_000);
  });
});
