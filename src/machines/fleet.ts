import { createHash } from 'node:crypto';
import { InputError } from '../core/errors.js';
import { isPlainObject } from '../core/json.js';
import { sumOf } from '../core/sum.js';
import type { FailedJob, Identity, Job, Json } from '../queue/job.js';
import type { Submitter } from '../queue/submit.js';
import type { Store } from '../stores/store.js';
import type { JobNeeds } from './needs.js';
import { hasResult } from './results.js';
import type { JobCost, JobData } from './table.js';

/** A job before it has a key. */
export interface Task<Kind extends keyof JobData> {
  readonly data: JobData[Kind];
  readonly label: string;
  /** Weight of the job for progress, in any unit. */
  readonly weight: number;
  readonly needs: JobNeeds;
}

/** Options of {@link Fleet.run}. */
export interface GroupOptions<Kind extends keyof JobData> {
  /** What people call the jobs together. */
  readonly name: string;
  readonly kind: Kind;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Is called with the index and the key of each task whose result is in the store. */
  readonly onResult?: ((index: number, key: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What jobs took together. */
export type FleetCost = JobCost & { readonly jobs: number };

const NO_COST: FleetCost = { jobs: 0, seconds: 0, storeSeconds: 0, readBytes: 0, writtenBytes: 0 };

/** Workers on a queue, and the store that they share. */
export class Fleet {
  /** By kind, in the order in which they began. */
  readonly costs = new Map<string, FleetCost>();

  constructor(
    readonly store: Store,
    private readonly submitter: Pick<Submitter, 'runJobs' | 'close'>,
    private readonly identity: Identity,
  ) {}

  get cost(): FleetCost {
    return [...this.costs.values()].reduce(sumOfCosts, NO_COST);
  }

  /** Returns the name of a job: a digest of its kind, its data and what results depend on beside. */
  keyOf<Kind extends keyof JobData>(kind: Kind, data: JobData[Kind]): string {
    const { version, arithmetic } = this.identity;
    return createHash('sha256')
      .update(JSON.stringify([version, arithmetic, kind, data]))
      .digest('hex');
  }

  /**
   * Does jobs, except those whose results are in the store. @returns their keys, in order.
   * @throws {InputError} naming the first that failed, once all others have ended.
   */
  async run<Kind extends keyof JobData>(
    tasks: readonly Task<Kind>[],
    { name, kind, onProgress, onResult, signal }: GroupOptions<Kind>,
  ): Promise<string[]> {
    const keys = tasks.map(({ data }) => this.keyOf(kind, data));
    const total = sumOf(tasks, ({ weight }) => weight);
    const shares = new Map<string, number>();
    const indices = new Map(keys.map((key, i) => [key, i]));
    let done = 0;
    const advance = (key: string, share: number) => {
      const before = shares.get(key) ?? 0;
      if (share <= before) return;
      shares.set(key, share);
      done += (share - before) * tasks[indices.get(key)!]!.weight;
      onProgress?.(Math.min(done, total), total);
    };
    const jobs = tasks.map(({ data, label, needs }, i): Job => {
      return { key: keys[i]!, kind, data: data as never as Json, label, ...needs };
    });
    const group = { name, key: createHash('sha256').update(keys.join()).digest('hex') };
    const failed = await this.submitter.runJobs(group, jobs, {
      isDone: (key) => hasResult(this.store, kind, key),
      onDone: ({ key }, returned) => {
        this.count(kind, returned);
        advance(key, 1);
        onResult?.(indices.get(key)!, key);
      },
      onProgress: ({ key }, share) => advance(key, share),
      ...(signal && { signal }),
    });
    if (failed.length) throw failureOf(failed, jobs.length);
    return keys;
  }

  /** Does jobs as {@link run} does, and returns at once. @returns the key of each, once its result is in the store. */
  begin<Kind extends keyof JobData>(
    tasks: readonly Task<Kind>[],
    options: Omit<GroupOptions<Kind>, 'onResult'>,
  ): Promise<string>[] {
    const resolvers: ((key: string) => void)[] = [];
    const own = tasks.map((_, i) => new Promise<string>((resolve) => (resolvers[i] = resolve)));
    const all = this.run(tasks, { ...options, onResult: (index, key) => resolvers[index]!(key) });
    return own.map((done, i) => {
      const either = Promise.race([done, all.then((keys) => keys[i]!)]);
      either.catch(() => {}); // thrown to who waits for it
      return either;
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.submitter.close(), this.store.close()]);
  }

  private count(kind: string, returned: Json): void {
    if (!isPlainObject(returned)) return; // it was there
    const cost = { jobs: 1, ...(returned as never as JobCost) };
    this.costs.set(kind, sumOfCosts(this.costs.get(kind) ?? NO_COST, cost));
  }
}

function sumOfCosts(a: FleetCost, b: FleetCost): FleetCost {
  return {
    jobs: a.jobs + b.jobs,
    seconds: a.seconds + b.seconds,
    storeSeconds: a.storeSeconds + b.storeSeconds,
    readBytes: a.readBytes + b.readBytes,
    writtenBytes: a.writtenBytes + b.writtenBytes,
  };
}

function failureOf(failed: readonly FailedJob[], of: number): InputError {
  const [{ job, reason }] = failed as [FailedJob];
  const others = failed.length > 1 ? `; ${failed.length - 1} other jobs failed too` : '';
  return new InputError(
    `${job.kind} job ${job.label} failed: ${reason}${others}; ${of - failed.length} of ${of} jobs succeeded, and what is done stays in the store`,
  );
}
