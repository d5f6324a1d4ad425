import { createHash } from 'node:crypto';
import { InputError } from '../core/errors.js';
import { isPlainObject } from '../core/json.js';
import type { FailedJob, Identity, Job, Json } from '../queue/job.js';
import type { Submitter } from '../queue/submit.js';
import type { Store } from '../stores/store.js';
import type { JobNeeds } from './needs.js';
import { hasResult } from './results.js';
import type { JobData } from './table.js';

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
  /** Is called with the index of each task whose result is in the store. */
  readonly onResult?: ((index: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What jobs took together. */
export interface FleetCost {
  jobs: number;
  seconds: number;
  readBytes: number;
  writtenBytes: number;
}

/** Workers on a queue, and the store that they share. */
export class Fleet {
  readonly cost: FleetCost = { jobs: 0, seconds: 0, readBytes: 0, writtenBytes: 0 };

  constructor(
    readonly store: Store,
    private readonly submitter: Pick<Submitter, 'runJobs' | 'close'>,
    private readonly identity: Identity,
  ) {}

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
    const weights = new Map(keys.map((key, i) => [key, tasks[i]!.weight]));
    const finish = (key: string) => {
      advance(key, 1);
      onResult?.(keys.indexOf(key));
    };
    const advance = (key: string, share: number) => {
      shares.set(key, Math.max(share, shares.get(key) ?? 0));
      let done = 0;
      for (const [each, part] of shares) done += part * weights.get(each)!;
      onProgress?.(Math.min(done, total), total);
    };
    const missing = new Map<string, Job>();
    await forEachAtOnce(keys.entries(), 16, async ([i, key]) => {
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
          this.count(returned);
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

  private count(returned: Json): void {
    if (!isPlainObject(returned)) return; // it was there
    const { seconds, readBytes, writtenBytes } = returned as never as Omit<FleetCost, 'jobs'>;
    this.cost.jobs++;
    this.cost.seconds += seconds;
    this.cost.readBytes += readBytes;
    this.cost.writtenBytes += writtenBytes;
  }
}

function failureOf(failed: readonly FailedJob[], of: number): InputError {
  const [{ job, reason }] = failed as [FailedJob];
  const others = failed.length > 1 ? `; ${failed.length - 1} other jobs failed too` : '';
  return new InputError(
    `${job.kind}: ${reason}${others}; ${of - failed.length} of ${of} jobs succeeded, and what is done stays in the store`,
    { tensor: job.label },
    { code: 'resumable' },
  );
}

/** Does work on items, several at once. */
export async function forEachAtOnce<Item>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const run = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: atOnce }, run));
}
