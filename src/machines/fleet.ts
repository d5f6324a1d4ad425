import { createHash } from 'node:crypto';
import { InputError } from '../core/errors.js';
import { isPlainObject } from '../core/json.js';
import type { FailedJob, Identity, Job, Json } from '../queue/job.js';
import { forEachLimited } from '../queue/limited.js';
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
    const total = tasks.reduce((sum, { weight }) => sum + weight, 0);
    const shares = new Map<string, number>();
    const indices = new Map(keys.map((key, i) => [key, i]));
    const weights = new Map(keys.map((key, i) => [key, tasks[i]!.weight]));
    const finish = (key: string) => {
      advance(key, 1);
      onResult?.(indices.get(key)!, key);
    };
    const advance = (key: string, share: number) => {
      shares.set(key, Math.max(share, shares.get(key) ?? 0));
      let done = 0;
      for (const [each, part] of shares) done += part * weights.get(each)!;
      onProgress?.(Math.min(done, total), total);
    };
    const missing = new Map<string, Job>();
    await forEachLimited(keys.entries(), 16, async ([i, key]) => {
      signal?.throwIfAborted();
      if (await hasResult(this.store, kind, key)) finish(key);
      else {
        const { data, label, needs } = tasks[i]!;
        missing.set(key, { key, kind, data: data as never as Json, label, ...needs });
      }
    });
    if (missing.size) {
      const group = { name, key: createHash('sha256').update(keys.join()).digest('hex') };
      const failed = await this.submitter.runJobs(group, [...missing.values()], {
        isDone: (key) => hasResult(this.store, kind, key),
        onDone: ({ key }, returned) => {
          this.count(kind, returned);
          finish(key);
        },
        onProgress: ({ key }, share) => advance(key, share),
        ...(signal && { signal }),
      });
      if (failed.length) throw failureOf(failed, missing.size);
    }
    return keys;
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
