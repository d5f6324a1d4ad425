import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { BLOCK_BYTES } from '../src/codecs/lossless/block.js';
import { ConnectionError, InputError, IntegrityError } from '../src/core/errors.js';
import { startQuantization } from '../src/quantization/threads.js';
import { Buffers } from '../src/workers/buffers.js';
import { Hashing } from '../src/workers/node/hashing.js';
import { startThread } from '../src/workers/node/thread.js';
import { Ordered } from '../src/workers/ordered.js';
import { Pool } from '../src/workers/pool.js';
import type { PoolWorker, Request } from '../src/workers/protocol.js';
import { BlockPool } from '../src/wpk/block-pool.js';
import { FRAME, frame } from '../src/wpk/frames.js';
import { BLOCK_JOBS } from '../src/wpk/jobs.js';
import { startBlockPool } from '../src/wpk/node/block-threads.js';
import { CHROMIUM, launch, moduleFiles } from './helpers/chromium.js';
import { seededRandom } from './helpers/safetensors.js';
import { serve } from './helpers/web-server.js';

interface ThrowingJobs {
  throw(kind: string): never;
  wait(job: { ms: number; value: string }): Promise<string>;
  end(job: undefined): void;
}

const opened: { close(): Promise<void> }[] = [];
afterAll(() => Promise.all(opened.map((pool) => pool.close())));

function throwingPool(threads = 1): Pool<ThrowingJobs> {
  const pool = new Pool<ThrowingJobs>();
  for (let i = 0; i < threads; i++)
    pool.add(startThread(new URL('./helpers/throwing-thread.js', import.meta.url)));
  opened.push(pool);
  return pool;
}

/** What a promise is rejected with. */
const errorOf = (promise: Promise<unknown>): Promise<InputError> =>
  promise.then(
    () => expect.fail('it was expected to be rejected'),
    (error) => error,
  );

/** A block's frame that is whole, of a block whose digest is wrong: larger than what runs on the calling thread. */
function damagedBlock() {
  const block = { dtype: 'U8' as const, count: 2 ** 14, first: 0, rows: 1, columns: 2 ** 14 };
  const random = seededRandom(3);
  const bytes = new Uint8Array(BLOCK_BYTES + 256).map(() => 256 * random()).subarray(0, block.count);
  const payload = BLOCK_JOBS.encode({ bytes, block }).slice(16);
  payload[0]! ^= 1;
  const whole = frame(FRAME.block, payload);
  const planned = { start: 500, end: 500 + whole.length, block, firstByte: 0, endByte: block.count };
  return { frame: whole, planned, tensor: { name: 'wte', codec: 'lossless' }, side: {}, file: 'model.wpk' };
}
const DAMAGED_PLACE = (end: number) => ({ file: 'model.wpk', tensor: 'wte', start: 500, end });

describe('an error of a thread', () => {
  const pool = throwingPool();
  const place = { file: 'model.wpk', tensor: 'wte.weight', start: 100, end: 200 };

  it.each([
    [
      'integrity',
      IntegrityError,
      'model.wpk, tensor "wte.weight", bytes 100-200: the digest differs',
      { place },
    ],
    ['connection', ConnectionError, 'x: no route', { place: { file: 'x' }, name: 'ConnectionError' }],
    [
      'input',
      InputError,
      'tensor "a", byte 3: too long',
      { what: 'too long', place: { tensor: 'a', start: 3 } },
    ],
    ['subclass', InputError, /^x\.wpk: /, { place: { file: 'x.wpk' } }],
    ['range', RangeError, '7 is out of bounds', { name: 'RangeError' }],
    ['system', Error, 'ENOSPC: no space left on device', { code: 'ENOSPC', errno: -28 }],
    ['named', Error, 'stopped', { name: 'AbortError' }],
    ['text', Error, 'just text', {}],
  ])('of kind "%s" has its class, message and fields in the caller', async (kind, Class, message, fields) => {
    const error = await errorOf(pool.run('throw', kind));
    expect(error.constructor).toBe(Class);
    expect(error.message).toMatch(message);
    expect(error).toMatchObject(fields);
    expect(error.stack).toContain(kind === 'text' ? 'just text' : 'throwing-thread.js');
  });

  it('has its cause', async () => {
    const { cause } = await errorOf(pool.run('throw', 'connection'));
    expect(cause).toBeInstanceOf(TypeError);
    expect(cause).toMatchObject({ message: 'fetch failed' });
  });

  it('says which bytes of which tensor are damaged', async () => {
    const threads = startBlockPool(1);
    opened.push(threads);
    const { frame, ...rest } = damagedBlock();
    const bytes = threads.take(frame.length);
    bytes.set(frame);
    const error = await errorOf(threads.run('decode', { ...rest, bytes }));
    expect(bytes.buffer).toBeInstanceOf(SharedArrayBuffer); // which it was not moved to
    expect(error).toBeInstanceOf(IntegrityError);
    expect(error.place).toEqual(DAMAGED_PLACE(rest.planned.end));
  });

  it('says which matrix cannot be quantized', async () => {
    const threads = startQuantization(1);
    opened.push(threads);
    const [rows, columns] = [16, 16];
    const negative = { values: new Float32Array(rows * rows).fill(-1), damping: 0 };
    const error = await errorOf(
      threads.run('quantize', {
        ...{ name: 'c_fc', rows, columns, weights: new Float32Array(rows * columns).fill(1) },
        ...{ rowMoments: negative, columnMoments: negative, step: 1, lambda: 0.1 },
        ...{ prices: new Float32Array(), shrinks: new Float32Array() },
      }),
    );
    expect(error).toBeInstanceOf(InputError);
    expect(error.place).toEqual({ tensor: 'c_fc' });
  });
});

/** A page's module that has a worker decode a block, and says what it is told. */
const DECODING_PAGE = `<!doctype html><title>test</title>
<script type="module">
import { IntegrityError, isInputError } from '/dist/core/errors.js';
import { loadWorker } from '/dist/workers/browser/web-worker.js';
import { Pool } from '/dist/workers/pool.js';
globalThis.decode = async ({ frame, ...rest }) => {
  const pool = new Pool();
  const worker = new Worker('/web/decode-worker.js', { type: 'module' });
  pool.add(await loadWorker(worker));
  const bytes = new Uint8Array(2 ** 17).subarray(0, frame.length);
  bytes.set(frame);
  const error = await pool.run('decode', { ...rest, bytes }, [bytes.buffer]).catch((thrown) => thrown);
  await pool.close();
  const classes = [error instanceof IntegrityError, isInputError(error)];
  return { moved: bytes.length === 0, classes, message: error.message, place: error.place };
};
</script>`;

describe.skipIf(!CHROMIUM)('an error of a Web Worker', () => {
  it('has its class and place in the page', async () => {
    const files = moduleFiles();
    const modules = ['buffers', 'pool', 'errors', 'serve', 'browser/web-worker'].map(
      (name) => `workers/${name}`,
    );
    for (const name of [...modules, 'core/errors'])
      files.set(`/dist/${name}.js`, readFileSync(`dist/${name}.js`));
    files.set('/page.html', new TextEncoder().encode(DECODING_PAGE));
    const server = await serve(files);
    const browser = await launch();
    try {
      const page = await browser.newPage();
      await page.goto(`${server.address}/page.html`);
      await page.waitForFunction('globalThis.decode');
      const block = damagedBlock();
      const job = JSON.stringify({ ...block, frame: [...block.frame] });
      const { end } = block.planned;
      expect(await page.evaluate(`decode(${job})`)).toEqual({
        moved: true,
        classes: [true, true],
        message: expect.stringContaining(`model.wpk, tensor "wte", bytes 500-${end}: codec lossless: `),
        place: DAMAGED_PLACE(end),
      });
    } finally {
      await browser.close();
      await server.close();
    }
  }, 60_000);
});

/** Workers that note what they are asked and answer when a test says so. */
function fakeWorker() {
  const asked: Request[] = [];
  let receive: (message: unknown) => void;
  let report: (error: Error) => void;
  const worker: PoolWorker = {
    post: (message) => asked.push(message as Request),
    onMessage: (take) => (receive = take),
    onEnd: (take) => (report = take),
    terminate: () => ended.push(worker),
  };
  const ended: PoolWorker[] = [];
  const answer = () => receive({ id: asked.shift()!.id, result: 'done' });
  return { worker, asked, answer, ended, end: (error: Error) => report(error) };
}

describe('a pool', () => {
  const kinds = (worker: ReturnType<typeof fakeWorker>) => worker.asked.map(({ job }) => job);

  it('hands each worker as many jobs as it is told, in order, the next one to whoever is done', async () => {
    const pool = new Pool<{ work: (job: number) => string }>(2);
    const [a, b] = [fakeWorker(), fakeWorker()];
    pool.add(a.worker);
    pool.add(b.worker);
    expect([pool.count, pool.depth]).toEqual([2, 4]);
    const results = Array.from({ length: 6 }, (_, i) => pool.run('work', i));
    expect([kinds(a), kinds(b)]).toEqual([
      [0, 2],
      [1, 3],
    ]);
    b.answer();
    expect(kinds(b)).toEqual([3, 4]);
    expect(await results[1]).toBe('done');
    a.answer();
    expect(kinds(a)).toEqual([2, 5]);
  });

  it('rejects what runs, what waits and what comes when a worker ends by itself, and ends the others', async () => {
    const pool = new Pool<{ work: (job: number) => string }>(1);
    const [a, b] = [fakeWorker(), fakeWorker()];
    pool.add(a.worker);
    pool.add(b.worker);
    const results = Array.from({ length: 3 }, (_, i) => pool.run('work', i));
    a.end(new Error('out of memory'));
    for (const result of [...results, pool.run('work', 3)])
      await expect(result).rejects.toThrow('out of memory');
    expect(b.ended).toHaveLength(1);
    expect(pool.count).toBe(0);
    const late = fakeWorker();
    pool.add(late.worker);
    expect(late.ended).toHaveLength(1);
  });

  it('rejects what waits when it is closed', async () => {
    const pool = throwingPool();
    const waiting = pool.run('wait', { ms: 60_000, value: '' });
    await Promise.all([expect(waiting).rejects.toThrow('closed'), pool.close()]);
  });

  it('rejects a job that cannot be sent, and goes on', async () => {
    const pool = throwingPool();
    await expect(pool.run('wait', { ms: 0, value: (() => {}) as never })).rejects.toThrow(
      /could not be cloned/,
    );
    expect(await pool.run('wait', { ms: 0, value: 'sent' })).toBe('sent');
  });

  it('is not kept waiting by a thread that ends', async () => {
    const pool = throwingPool(2);
    const waiting = [pool.run('wait', { ms: 60_000, value: '' }), pool.run('end', undefined)];
    for (const result of waiting) await expect(result).rejects.toThrow('a worker thread ended (exit code 5)');
  });
});

it('a pool of blocks whose worker has ended rejects later blocks too, instead of the calling thread coding them', async () => {
  const pool = new BlockPool(BLOCK_JOBS);
  let end: (error: Error) => void = () => {};
  pool.add({
    post() {},
    onMessage() {},
    onEnd: (report) => {
      end = report;
    },
    terminate() {},
  });
  const run = () => pool.run('deflate', { bytes: pool.take(2 ** 16).fill(0) });
  const lost = run();
  end(new Error('it died'));
  await expect(lost).rejects.toThrow('it died');
  await expect(run()).rejects.toThrow('it died');
});

describe('a buffer that is given back', () => {
  it('is taken again by what fits, and dropped for what does not', () => {
    const buffers = new Buffers(100);
    const small = buffers.take(10);
    expect([small.length, small.buffer.byteLength]).toEqual([10, 100]);
    buffers.give(small);
    const large = buffers.take(5, 300);
    expect([large.length, large.buffer.byteLength]).toEqual([5, 300]);
    buffers.give(large);
    expect(buffers.take(20).buffer).toBe(large.buffer);
    expect(buffers.take(20).buffer).not.toBe(small.buffer);
  });

  it('is dropped when it is not shared as the others are', () => {
    const [moved, shared] = [new Buffers(100), new Buffers(100, true)];
    const [own, foreign] = [shared.take(10), moved.take(10)];
    shared.give(own);
    shared.give(foreign);
    moved.give(own);
    expect(shared.take(10).buffer).toBe(own.buffer);
    expect(shared.take(10).buffer).not.toBe(foreign.buffer);
    expect(moved.take(10).buffer).toBeInstanceOf(ArrayBuffer);
  });
});

it.each([0, 1])('digests on %i threads are those of the bytes in their order', async (threads) => {
  const random = seededRandom(5);
  const hashing = new Hashing(threads);
  opened.push(hashing);
  for (const lengths of [[], [10, 2 ** 15, 1, 0, 3 * 2 ** 18, 7], Array.from({ length: 40 }, () => 30_000)]) {
    const expected = createHash('sha256');
    for (const length of lengths) {
      const bytes = new Uint8Array(length).map(() => 256 * random());
      expected.update(bytes);
      const same = await hashing.update(bytes.slice());
      expect(Buffer.compare(same, bytes)).toBe(0);
    }
    expect(await hashing.digest()).toBe(expected.digest('hex'));
  }
});

describe('results in the order of their promises', () => {
  it('one is consumed while others are added, never two, and at most so many are pending', async () => {
    const [consumed, running]: [number[], number[]] = [[], []];
    let active = 0;
    const ordered = new Ordered<number>(3, async (i) => {
      running.push(++active);
      await setTimeout(i % 3);
      active--;
      consumed.push(i);
    });
    const all = Array.from({ length: 40 }, (_, i) => i);
    for (const i of all) await ordered.add(setTimeout((7 * i) % 5, i));
    expect(consumed.length).toBeGreaterThanOrEqual(all.length - 5);
    await ordered.finish();
    expect(consumed).toEqual(all);
    expect(running.every((count) => count === 1)).toBe(true);
  });

  it.each(['a promise', 'what consumes it'])(
    'an error of %s comes once the results before it are consumed',
    async (whose) => {
      const consumed: number[] = [];
      const ordered = new Ordered<number>(2, async (i) => {
        await setTimeout(2);
        if (whose === 'what consumes it' && i === 5) throw new RangeError('five');
        consumed.push(i);
      });
      const adding = async () => {
        for (let i = 0; i < 20; i++)
          await ordered.add(
            whose === 'a promise' && i === 5 ? Promise.reject(new RangeError('five')) : Promise.resolve(i),
          );
        await ordered.finish();
      };
      await expect(adding()).rejects.toThrow('five');
      expect(consumed).toEqual([0, 1, 2, 3, 4]);
    },
  );
});
