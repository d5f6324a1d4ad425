// @module-tag slow
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ConnectionError, InputError } from '../src/core/errors.js';
import type { Job, Json } from '../src/queue/job.js';
import { openQueue } from '../src/queue/open.js';
import { queueStatus } from '../src/queue/status.js';
import { type GroupHandlers, Submitter } from '../src/queue/submit.js';
import { needs } from './helpers/needs.js';
import { WorkerProcess } from './helpers/queue-processes.js';
import { folder, seededRandom } from './helpers/safetensors.js';
import {
  freePort,
  hasPostgres,
  hasRedis,
  startPostgres,
  startRedis,
  type TestServer,
} from './helpers/servers.js';

const IDENTITY = { version: '1', arithmetic: 'toy' };
const SERVERS = [
  {
    name: 'Redis',
    start: startRedis,
    found: hasRedis,
    packages: 'redis-server',
    fleets: [1, 2, 4],
    many: 5000,
  },
  {
    name: 'PostgreSQL',
    start: startPostgres,
    found: hasPostgres,
    packages: 'postgresql',
    fleets: [4],
    many: 1000,
  },
];

/** The toy jobs of one test, in queues that no other test uses, with a file for a store. */
class Toys {
  private static next = 0;
  readonly kind = `toy-${Toys.next++}`;
  readonly log = join(folder(), 'done');

  constructor(readonly server: TestServer) {}

  job(number: number, data: Readonly<Record<string, Json>> = {}, rest: Partial<Job> = {}): Job {
    const key = `${this.kind}-${number}`;
    const { kind } = this;
    return {
      key,
      kind,
      data: { number, ...data },
      label: `toy ${number}`,
      memoryBytes: 10,
      limitSeconds: 600,
      ...rest,
    };
  }

  jobs(count: number, data?: Readonly<Record<string, Json>>): Job[] {
    return Array.from({ length: count }, (_, number) => this.job(number, data));
  }

  worker(options: Readonly<Record<string, unknown>> = {}): WorkerProcess {
    const worker = new WorkerProcess(this.server.address, { kinds: [this.kind], log: this.log, ...options });
    onTestFinished(async () => {
      worker.kill('SIGKILL');
      await worker.ended;
    });
    return worker;
  }

  async submitter(options = {}): Promise<Submitter> {
    const submitter = await Submitter.open(this.server.address, IDENTITY, {
      lookMs: 500,
      retryMs: 10,
      ...options,
    });
    onTestFinished(() => submitter.close());
    return submitter;
  }

  /** Runs jobs, and notes which are done, how often. */
  async run(jobs: readonly Job[], handlers: GroupHandlers = {}, submitter?: Submitter) {
    const results = new Results();
    const from = submitter ?? (await this.submitter());
    const onDone = async (job: Job, returned: Json) => {
      results.add(job, returned);
      await handlers.onDone?.(job, returned);
    };
    const failed = await from.runJobs({ name: this.kind, key: this.kind }, jobs, { ...handlers, onDone });
    return { results, failed };
  }

  /** Returns the keys of the jobs that were done, as often as they were done. */
  done(): string[] {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8').split('\n').slice(0, -1) : [];
  }
}

/** Results by key. */
class Results extends Map<string, Json> {
  add({ key, data }: Job, returned: Json): void {
    expect(this.has(key), `${key} twice`).toBe(false);
    expect(returned).toEqual({ square: (data as { number: number }).number ** 2 });
    this.set(key, returned);
  }
}

const keysOf = (jobs: readonly Job[]) => jobs.map(({ key }) => key).sort();
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe.each(SERVERS)('a queue on $name', ({ start, found, packages, fleets, many }) => {
  describe('with workers', needs(found, packages), () => {
    let server: TestServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.remove());

    it.each(fleets)('200 jobs on %i workers: each result once', async (count) => {
      const toys = new Toys(server);
      for (let i = 0; i < count; i++) toys.worker();
      const jobs = toys.jobs(200);
      const { results, failed } = await toys.run(jobs);
      expect(failed).toEqual([]);
      expect([...results.keys()].sort()).toEqual(keysOf(jobs));
      expect(toys.done().sort()).toEqual(keysOf(jobs));
    });

    it('workers that are killed lose nothing', async () => {
      const toys = new Toys(server);
      const random = seededRandom(7);
      const options = { lockMs: 500 };
      const workers = [toys.worker(options), toys.worker(options)];
      const done = toys.run(toys.jobs(60, { milliseconds: 60 }));
      for (let kills = 0; kills < 3; kills++) {
        const at = Math.floor(random() * workers.length);
        await workers[at]!.says('run');
        await pause(random() * 200);
        workers[at]!.kill('SIGKILL');
        workers[at] = toys.worker(options);
      }
      const { results, failed } = await done;
      expect(failed).toEqual([]);
      expect(results.size).toBe(60);
    });

    it('a worker that ends in time finishes its jobs, and takes no more', async () => {
      const toys = new Toys(server);
      const worker = toys.worker({ concurrency: 1, graceMs: 60_000 });
      const done = toys.run(toys.jobs(2, { milliseconds: 300 }));
      await worker.says('run');
      worker.kill('SIGTERM');
      expect(await worker.ended).toBe(0);
      expect(toys.done()).toHaveLength(1);
      toys.worker();
      expect((await done).results.size).toBe(2);
      expect(toys.done()).toHaveLength(2);
    });

    it('a worker whose time is over hands its jobs back, and the attempt does not count', async () => {
      const toys = new Toys(server);
      const job = toys.job(0, { slowOnce: join(folder(), 'once') });
      const worker = toys.worker();
      const done = toys.run([job]);
      await worker.says('run');
      worker.kill('SIGTERM');
      expect(await worker.ended).toBe(0);
      expect(worker.lines.at(-2)).toMatchObject({ type: 'handed-back', key: job.key });
      toys.worker(); // its locks last 30 s: it does not wait for the other's to expire
      expect((await done).results.size).toBe(1);
      const connection = await openQueue(server.address);
      const inQueue = await connection.queue(`weightpress-${toys.kind}`).getJob(job.key);
      expect(inQueue).toMatchObject({ attemptsMade: 1, attemptsStarted: 2 });
      await connection.close();
    });

    it('a server that restarts interrupts nothing', async () => {
      const toys = new Toys(server);
      const worker = toys.worker();
      const notices: string[] = [];
      const submitter = await toys.submitter({ onNotice: (notice: string) => notices.push(notice) });
      const jobs = toys.jobs(40, { milliseconds: 40 });
      let count = 0;
      let restarted: Promise<void> | undefined;
      const onDone = () => {
        if (++count === 10)
          restarted = server
            .stop()
            .then(() => pause(300))
            .then(server.start);
      };
      const { results, failed } = await toys.run(jobs, { onDone }, submitter);
      await restarted;
      expect(failed).toEqual([]);
      expect(results.size).toBe(40);
      worker.kill('SIGTERM');
      expect(await worker.ended).toBe(0);
      // a server that comes up may close connections once more
      const lost = /^\w+:\/\/127\.0\.0\.1:\d+\/\w+: connection lost \(.+\), waiting for the server$/;
      const told = worker.lines.filter(({ type }) => type === 'notice').map(({ message }) => message);
      for (const lines of [told, notices]) {
        expect(lines.length).toBeGreaterThan(0);
        const turns = lines.map((_, i) => expect.stringMatching(i % 2 ? /connected again$/ : lost));
        expect(lines).toEqual(turns);
        expect(lines.length % 2).toBe(0);
      }
    });

    it('two submitters with the same jobs: both get all results, each job runs once', async () => {
      const toys = new Toys(server);
      const jobs = toys.jobs(60, { milliseconds: 10 });
      const worker = toys.worker();
      const first = toys.run(jobs);
      await worker.says('run');
      const second = toys.run(jobs.toReversed());
      for (const { results, failed } of await Promise.all([first, second])) {
        expect(failed).toEqual([]);
        expect([...results.keys()].sort()).toEqual(keysOf(jobs));
      }
      expect(toys.done().sort()).toEqual(keysOf(jobs));
    });

    it('jobs that are done run again only if their results are gone', async () => {
      const toys = new Toys(server);
      toys.worker();
      const jobs = toys.jobs(3);
      await toys.run(jobs);
      expect((await toys.run(jobs)).results.size).toBe(3); // the queue remembers them
      expect(toys.done()).toHaveLength(3);
      const submitter = await toys.submitter();
      const known: [string, Json][] = [];
      await submitter.runJobs({ name: 'again', key: 'again' }, jobs, {
        isDone: async () => true,
        onDone: ({ key }, returned) => void known.push([key, returned]),
      });
      expect(known.map(([key]) => key).sort()).toEqual(keysOf(jobs));
      expect(toys.done()).toHaveLength(3);
      const gone = await toys.run(jobs, {
        isDone: async (key) => key !== jobs[1]!.key && toys.done().length > 3,
      });
      expect(gone.results.size).toBe(3);
      expect(toys.done()).toHaveLength(6);
    });

    it('a worker that sleeps while another takes its job over harms nothing', async () => {
      const toys = new Toys(server);
      const options = { lockMs: 500 };
      const sleeper = toys.worker(options);
      const job = toys.job(0, { milliseconds: 700 });
      const done = toys.run([job]);
      await sleeper.says('run');
      sleeper.kill('SIGSTOP');
      const other = toys.worker(options);
      await other.says('finished', job.key);
      sleeper.kill('SIGCONT');
      const { results } = await done;
      expect(results.size).toBe(1);
      await sleeper.says('taken-over', job.key);
      other.kill('SIGTERM');
      await other.ended;
      expect((await toys.run([toys.job(1)])).results.size).toBe(1); // the sleeper works on
      expect(sleeper.lines.filter(({ type }) => type === 'failed' || type === 'error')).toEqual([]);
    });

    /** Removes all jobs of a test from the server. */
    const empty = async ({ kind }: Toys) => {
      const connection = await openQueue(server.address);
      await connection.queue(`weightpress-${kind}`).obliterate({ force: true });
      await connection.close();
    };

    it('a job that vanishes from the queue while it runs is added again, and runs on', async () => {
      const toys = new Toys(server);
      const worker = toys.worker();
      await worker.says('ready');
      const done = toys.run([toys.job(0, { milliseconds: 1500 })], {}, await toys.submitter({ lookMs: 50 }));
      await worker.says('run');
      await empty(toys);
      expect((await done).results.size).toBe(1);
      expect(toys.done()).toHaveLength(1);
      expect(worker.count('taken-over')).toBe(0);
    });

    it('a job that is not in the queue any more when it ends harms nothing', async () => {
      const toys = new Toys(server);
      const worker = toys.worker();
      const controller = new AbortController();
      const submitter = await toys.submitter({ lookMs: 600_000 });
      const done = toys.run([toys.job(0, { milliseconds: 500 })], { signal: controller.signal }, submitter);
      await worker.says('run');
      await empty(toys);
      await worker.says('taken-over');
      controller.abort(new Error('enough'));
      await expect(done).rejects.toThrow('enough');
      expect((await toys.run([toys.job(0)])).results.size).toBe(1);
      worker.kill('SIGTERM');
      expect(await worker.ended).toBe(0);
    });

    it('a job that takes longer than its lock lasts runs once', async () => {
      const toys = new Toys(server);
      for (let i = 0; i < 2; i++) toys.worker({ lockMs: 300 });
      expect((await toys.run([toys.job(0, { milliseconds: 1500 })])).results.size).toBe(1);
      expect(toys.done()).toHaveLength(1);
    });

    it('a job that always fails is named, the others are done', async () => {
      const toys = new Toys(server);
      const worker = toys.worker();
      const jobs = [
        ...toys.jobs(5),
        toys.job(5, { error: 'boom' }),
        toys.job(6, { input: 'no such tensor' }),
        toys.job(7, { connection: 'store away' }),
      ];
      const { results, failed } = await toys.run(jobs);
      expect(results.size).toBe(5);
      const told = Object.fromEntries(failed.map(({ job, reason }) => [job.label, reason]));
      expect(told).toEqual({ 'toy 5': 'boom', 'toy 6': 'no such tensor', 'toy 7': 'store away' });
      const runs = (number: number) =>
        worker.lines.filter(({ type, key }) => type === 'run' && key === jobs[number]!.key);
      expect([5, 6, 7].map((number) => runs(number).length)).toEqual([5, 1, 5]);
      const again = await toys.run([toys.job(6)]); // the same key: what has failed begins again
      expect(again.results.size).toBe(1);
    });

    it('a job that takes longer than its limit is stopped and fails', async () => {
      const toys = new Toys(server);
      const worker = toys.worker();
      const { results, failed } = await toys.run([
        toys.job(0, { milliseconds: 100_000 }, { limitSeconds: 0.1 }),
        toys.job(1),
      ]);
      expect([...results.keys()]).toEqual([toys.job(1).key]);
      expect(failed.map(({ reason }) => reason)).toEqual(['took longer than its limit of 0.1 s']);
      expect(worker.count('failed')).toBe(5);
    });

    it('a worker of another version ends and leaves the job to others', async () => {
      const toys = new Toys(server);
      const done = toys.run([toys.job(0)]);
      const other = toys.worker({ version: '2' });
      expect(await other.ended).toBe(2);
      expect(other.lines.at(-1)?.message).toBe(
        'InputError: the jobs are of weightpress 1 (toy), this worker is 2 (toy): run the same version everywhere',
      );
      expect(other.count('run')).toBe(0);
      toys.worker();
      expect((await done).results.size).toBe(1);
    });

    it('jobs run only where their memory is free', async () => {
      const toys = new Toys(server);
      const small = toys.worker({ memoryBytes: 100, concurrency: 4 });
      const jobs = [
        ...Array.from({ length: 8 }, (_, i) => toys.job(i, { milliseconds: 20 }, { memoryBytes: 60 })),
        ...Array.from({ length: 8 }, (_, i) => toys.job(10 + i, { milliseconds: 20 }, { memoryBytes: 40 })),
        toys.job(20, {}, { memoryBytes: 500 }),
      ];
      const done = toys.run(jobs);
      await small.says('handed-back', jobs.at(-1)!.key);
      toys.worker({ memoryBytes: 500 });
      const { results, failed } = await done;
      expect(failed).toEqual([]);
      expect(results.size).toBe(jobs.length);
      const bytesOf = new Map(jobs.map(({ key, memoryBytes }) => [key, memoryBytes]));
      let bytes = 0;
      for (const { type, key } of small.lines) {
        if (type === 'started') bytes += bytesOf.get(key!)!;
        if (type === 'finished') bytes -= bytesOf.get(key!)!;
        expect(bytes).toBeLessThanOrEqual(100);
      }
    });

    it('an abort takes back what waits, unless somebody else wants it', async () => {
      const toys = new Toys(server);
      const controller = new AbortController();
      const jobs = toys.jobs(20);
      const others = jobs.slice(0, 5);
      const aborted = toys.run(jobs, { signal: controller.signal });
      const status = async () =>
        (await queueStatus(server.address)).kinds.find(({ kind }) => kind === toys.kind);
      while ((await status())?.waiting !== 20) await pause(20);
      const wanted = toys.run(others);
      await pause(200);
      controller.abort(new Error('enough'));
      await expect(aborted).rejects.toThrow('enough');
      toys.worker();
      expect((await wanted).results.size).toBe(5);
      expect(toys.done().sort()).toEqual(keysOf(others));
    });

    it('a handler that throws ends the run', async () => {
      const toys = new Toys(server);
      toys.worker();
      const onDone = () => {
        throw new Error('disk full');
      };
      await expect(toys.run(toys.jobs(20), { onDone })).rejects.toThrow('disk full');
    });

    it('the status names workers, what they run, counts and failures', async () => {
      const toys = new Toys(server);
      const worker = toys.worker();
      await toys.run([toys.job(0), toys.job(1, { input: 'bad' })]);
      const status = await queueStatus(server.address);
      expect(status.address).toMatch(/^\w+:\/\/127\.0\.0\.1:\d+\/\w+$/);
      const mine = status.workers.filter(({ kinds }) => kinds.includes(toys.kind));
      expect(mine).toMatchObject([{ concurrency: 2, memoryBytes: 1000, version: '1' }]);
      expect(status.kinds.find(({ kind }) => kind === toys.kind)).toMatchObject({
        waiting: 0,
        active: 0,
        completed: 1,
        failed: 1,
        meanSeconds: expect.any(Number),
      });
      expect(status.failures[0]).toEqual({ kind: toys.kind, label: 'toy 1', reason: 'bad' });
      worker.kill('SIGTERM');
      await worker.ended;
      const { workers } = await queueStatus(server.address);
      expect(workers.filter(({ kinds }) => kinds.includes(toys.kind))).toEqual([]);
    });

    it('thousands of jobs: none lost, none twice, and the memory of the submitter stays flat', async () => {
      const toys = new Toys(server);
      for (let i = 0; i < 2; i++) toys.worker({ concurrency: 8 });
      const jobs = toys.jobs(many);
      const heap: number[] = [];
      let count = 0;
      const submitter = await toys.submitter({ lookMs: 5000 });
      const seen = new Uint8Array(jobs.length);
      const failed = await submitter.runJobs({ name: 'many', key: 'many' }, jobs, {
        onDone: ({ data }) => {
          seen[(data as { number: number }).number]!++;
          if (++count === 500 || count === jobs.length) heap.push(heapBytes());
        },
      });
      expect(failed).toEqual([]);
      expect(seen.every((times) => times === 1)).toBe(true);
      expect(toys.done()).toHaveLength(jobs.length);
      expect(heap[1]! - heap[0]!).toBeLessThan(8 << 20);
    });

    it('refusals are one line without a password', async () => {
      const refused = async (address: string) => {
        const error = await openQueue(address).then(
          () => undefined,
          (thrown: Error) => thrown,
        );
        expect(error).toBeInstanceOf(InputError);
        expect(error!.message).not.toMatch(/\n|correct-horse|wrong-horse|weightpress:/);
        expect(error!.message).toMatch(/^\w+:\/\/127\.0\.0\.1:\d+\/\w+: /);
        return error!;
      };
      const wrong = await refused(server.address.replace(server.password, 'wrong-horse'));
      expect(wrong).not.toBeInstanceOf(ConnectionError);
      expect(wrong.message).toMatch(/refused \(.*(WRONGPASS|password authentication failed)/);
      const database = await refused(server.address.replace(/\w+$/, '99'));
      expect(database).not.toBeInstanceOf(ConnectionError);
      expect(database.message).toMatch(/refused \(.*(DB index is out of range|database "99" does not exist)/);
      const away = await refused(server.address.replace(/\d+(?=\/\w+$)/, `${await freePort()}`));
      expect(away).toBeInstanceOf(ConnectionError);
      expect(away.message).toMatch(/cannot be reached \(connect ECONNREFUSED/);
    });
  });
});

describe('Redis that loses everything', needs(hasRedis, 'redis-server'), () => {
  it('jobs whose results are stored are done, the others are added again', async () => {
    const server = await startRedis();
    onTestFinished(() => server.remove());
    const toys = new Toys(server);
    toys.worker();
    const jobs = toys.jobs(60, { milliseconds: 30 });
    const results = new Set<string>();
    let restarted: Promise<void> | undefined;
    const submitter = await toys.submitter();
    const failed = await submitter.runJobs({ name: 'lost', key: 'lost' }, jobs, {
      isDone: async (key) => toys.done().includes(key),
      onDone: ({ key }) => {
        expect(results.has(key)).toBe(false);
        results.add(key);
        if (results.size === 10) restarted = server.stop().then(server.lose).then(server.start);
      },
    });
    await restarted;
    expect(failed).toEqual([]);
    expect(results.size).toBe(60);
    expect(new Set(toys.done()).size).toBe(60);
  });
});

describe('addresses and packages', () => {
  it('an address of something else is refused', async () => {
    await expect(openQueue('http://example.com')).rejects.toThrow(
      /expected redis:\/\/HOST.*, found http:\/\//,
    );
    await expect(openQueue('localhost')).rejects.toThrow(InputError);
  });

  it.each([
    ['redis://127.0.0.1:1', 'bullmq', 'Redis', 'npm install bullmq ioredis'],
    ['rediss://127.0.0.1:1', 'ioredis', 'Redis', 'npm install bullmq ioredis'],
    ['postgres://127.0.0.1:1/x', 'bullmq', 'PostgreSQL', 'npm install bullmq pg'],
    ['postgresql://127.0.0.1:1/x', 'pg', 'PostgreSQL', 'npm install bullmq pg'],
  ])('%s without %s says what to install', (address, missing, server, install) => {
    const hook = `export async function resolve(name, context, next) {
      if (name === ${JSON.stringify(missing)}) throw Object.assign(new Error('not found'), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(name, context);
    }`;
    const program = `
      import { register } from 'node:module';
      register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}));
      const { openQueue } = await import('./dist/queue/open.js');
      await openQueue(${JSON.stringify(address)}).catch(({ name, message }) => console.log(name + ': ' + message));
    `;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    const said = `a queue on ${server} needs the package ${missing}, which is not installed: ${install}`;
    expect(stdout).toBe(`InputError: ${said}\n`);
  });
});

/** Returns the bytes in use after collecting garbage. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}
