import type { Queue } from 'bullmq';
import { MESSAGES } from '../core/errors.js';
import type { QueueConnection } from './connection.js';
import type { Group, GroupHandlers } from './group.js';
import type { FailedJob, Identity, Job, Json } from './job.js';
import { forEachLimited } from './limited.js';
import { queueOf } from './names.js';
import type { Parents } from './parents.js';
import { payloadOf } from './payload.js';
import { settlesWithin, wait } from './wait.js';

/** What all groups of a submitter have in common. */
export interface GroupOptions {
  readonly identity: Identity;
  readonly lookMs: number;
  readonly retryMs: number;
}

const ATTEMPTS = 5;
/** Jobs that are added in one request. */
const CHUNK = 500;
/** Questions about single jobs that are asked at the same time. */
const QUESTIONS = 16;
/** Maximum time to take back jobs after an abort. */
const CANCEL_MS = 5000;
const FAILED_SECONDS = 24 * 3600;
/** States of a job that will end, or that is tried again. */
const LIVE = ['waiting', 'active', 'delayed', 'prioritized'] as const;

/**
 * One call of `runJobs`. Events tell at once what has ended, but events can be lost: when a server restarts, a connection breaks,
 * a log is cut. So the states of all pending jobs are looked at every few seconds, which alone would be enough.
 */
export class GroupRun {
  private readonly pending: Map<string, Job>;
  private readonly failed: FailedJob[] = [];
  private readonly parent: string;
  /** The last call of `onDone`, which waits for those before. */
  private reported: Promise<void> = Promise.resolve();
  private readonly stop = new AbortController();
  /** Ends the pause between two looks. */
  private hurry = new AbortController();

  constructor(
    private readonly connection: QueueConnection,
    private readonly parents: Parents,
    private readonly queue: (kind: string) => Queue,
    private readonly group: Group,
    jobs: readonly Job[],
    private readonly handlers: GroupHandlers,
    private readonly options: GroupOptions,
  ) {
    this.pending = new Map(jobs.map((job) => [job.key, job]));
    this.parent = `${group.key}-${crypto.randomUUID()}`;
  }

  /** Runs all jobs. @throws what a handler throws, or the signal's reason. */
  async run(): Promise<FailedJob[]> {
    const { signal } = this.handlers;
    const abort = () => this.stop.abort(signal?.reason);
    signal?.addEventListener('abort', abort);
    const stopped = new Promise<never>((_, reject) => {
      this.stop.signal.addEventListener('abort', () => {
        reject(this.stop.signal.reason);
        this.look();
      });
    });
    stopped.catch(() => {});
    try {
      signal?.throwIfAborted();
      await Promise.race([this.toTheEnd(), stopped]); // a server that is away does not delay an abort
      return this.failed;
    } catch (error) {
      this.stop.abort(error);
      await settlesWithin(this.parents.cancel(this.parent), CANCEL_MS);
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Looks at the states of all pending jobs now. */
  look(): void {
    this.hurry.abort();
  }

  /** Reports a job that has a result. */
  complete(key: string, returned: Json): void {
    const job = this.end(key);
    if (!job) return;
    this.reported = this.reported.then(() => {
      if (!this.stop.signal.aborted) return this.handlers.onDone?.(job, returned);
    });
    this.reported.catch((error) => this.stop.abort(error));
  }

  /** Notes a job that has none. */
  fail(key: string, reason: string): void {
    const job = this.end(key);
    if (job) this.failed.push({ job, reason: MESSAGES.clean(reason) });
  }

  /** Reports the progress of a job. */
  progress(key: string, share: unknown): void {
    const job = this.pending.get(key);
    if (!job || typeof share !== 'number') return;
    try {
      this.handlers.onProgress?.(job, share);
    } catch (error) {
      this.stop.abort(error);
    }
  }

  private end(key: string): Job | undefined {
    const job = this.pending.get(key);
    if (job && this.pending.delete(key) && !this.pending.size) this.hurry.abort();
    return job;
  }

  private async toTheEnd(): Promise<void> {
    await this.skipDone();
    await this.add([...this.pending.values()]);
    while (this.pending.size) {
      this.hurry = new AbortController();
      await this.lookAtStates();
      if (this.stop.signal.aborted) return;
      if (this.pending.size) await wait(this.options.lookMs, this.hurry.signal);
    }
    await this.reported;
    await this.server(() => this.parents.complete());
    await this.server(() => this.parents.remove(this.parent));
  }

  /** Calls the server, however long it takes. */
  private server<T>(call: () => Promise<T>): Promise<T> {
    this.stop.signal.throwIfAborted();
    return this.connection.outage.outlast(call);
  }

  private async skipDone(): Promise<void> {
    const { isDone } = this.handlers;
    if (!isDone) return;
    await forEachLimited(this.pending.keys(), QUESTIONS, async (key) => {
      this.stop.signal.throwIfAborted();
      if (await isDone(key)) this.complete(key, null);
    });
  }

  /** Adds jobs. Those that ended earlier, without a result that still exists, begin again. */
  private async add(jobs: readonly Job[]): Promise<void> {
    for (const kind of new Set(jobs.map(({ kind }) => kind))) {
      const own = jobs.filter((job) => job.kind === kind);
      const ended = await this.endedOf(kind, own);
      const again = own.filter(({ key }) => ended.has(key));
      await forEachLimited(again, QUESTIONS, (job) => this.remove(job));
    }
    for (let start = 0; start < jobs.length; start += CHUNK) {
      const children = jobs.slice(start, start + CHUNK).map((job) => this.child(job));
      await this.server(() => this.parents.add(this.parent, this.group.name, children));
    }
  }

  /** Returns which jobs ended earlier: asked for one by one if they are few, because the queue remembers many. */
  private async endedOf(kind: string, jobs: readonly Job[]): Promise<Set<string>> {
    const stale = this.handlers.isDone ? (['failed', 'completed'] as const) : (['failed'] as const);
    const queue = this.queue(kind);
    if (jobs.length > QUESTIONS) return new Set(await this.server(() => queue.getRanges([...stale], 0, -1)));
    const ended = new Set<string>();
    await forEachLimited(jobs, QUESTIONS, async ({ key }) => {
      const state = await this.server(() => queue.getJobState(key));
      if (stale.some((each) => each === state)) ended.add(key);
    });
    return ended;
  }

  private child(job: Job) {
    const { identity, retryMs } = this.options;
    return {
      name: job.kind,
      queueName: queueOf(job.kind),
      data: payloadOf(job, identity),
      opts: {
        jobId: job.key,
        attempts: ATTEMPTS,
        backoff: { type: 'exponential', delay: retryMs, jitter: 0.5 },
        ignoreDependencyOnFailure: true,
        removeOnComplete: this.connection.remembered,
        removeOnFail: { age: FAILED_SECONDS },
        stackTraceLimit: 0,
      },
    };
  }

  private async remove({ kind, key }: Job): Promise<void> {
    await this.server(() => this.queue(kind).remove(key, { removeChildren: false }));
  }

  private async lookAtStates(): Promise<void> {
    const jobs = [...this.pending.values()];
    const lost: Job[] = [];
    for (const kind of new Set(jobs.map((job) => job.kind))) {
      const live = new Set(await this.server(() => this.queue(kind).getRanges([...LIVE], 0, -1)));
      const others = jobs.filter((job) => job.kind === kind && !live.has(job.key));
      await forEachLimited(others, QUESTIONS, async (job) => {
        if (this.pending.has(job.key) && (await this.isLost(job))) lost.push(job);
      });
    }
    const wanted = lost.filter(({ key }) => this.pending.has(key));
    if (wanted.length) await this.add(wanted);
    await this.server(() => this.parents.complete());
  }

  /** Ends a job that has ended in the queue. @returns whether it has to be added again */
  private async isLost(job: Job): Promise<boolean> {
    const { isDone } = this.handlers;
    const queue = this.queue(job.kind);
    const state = await this.server(() => queue.getJobState(job.key));
    if (LIVE.some((live) => live === state)) return false;
    const found = await this.server(() => queue.getJob(job.key)); // after its state, so that it has its result
    const returned = (found?.returnvalue as Json | undefined) ?? null;
    if (found && state === 'failed') this.fail(job.key, found.failedReason);
    else if (found && state === 'completed' && !isDone) this.complete(job.key, returned);
    else if (await isDone?.(job.key)) this.complete(job.key, returned);
    else {
      if (found) await this.remove(job);
      return true;
    }
    return false;
  }
}
