import type { Queue, Job as QueueJob } from 'bullmq';
import { MESSAGES } from '../core/errors.js';
import { GONE_MS, readWorkers } from './heartbeat.js';
import { GROUPS, kindField, queueOf } from './names.js';
import { openQueue } from './open.js';
import type { Payload } from './payload.js';
import type { RunningJob, WorkerRecord } from './worker-record.js';

export type { RunningJob } from './worker-record.js';

/** What a queue and its workers do. */
export interface QueueStatus {
  /** Address without user and password. */
  readonly address: string;
  readonly workers: readonly WorkerStatus[];
  readonly kinds: readonly KindStatus[];
  /** Names of the groups that wait for jobs. */
  readonly groups: readonly string[];
  /** Estimate until all jobs have ended; undefined without one. */
  readonly secondsLeft: number | undefined;
  /** The last jobs without a result, newest first. */
  readonly failures: readonly { readonly kind: string; readonly label: string; readonly reason: string }[];
}

/** A worker that is connected. */
export interface WorkerStatus {
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly kinds: readonly string[];
  /** Maximum number of jobs at the same time. */
  readonly concurrency: number;
  readonly memoryBytes: number;
  readonly running: readonly RunningJob[];
}

/** Jobs of a kind. The server forgets those that ended long ago. */
export interface KindStatus {
  readonly kind: string;
  readonly waiting: number;
  readonly active: number;
  /** Jobs that wait for their next attempt, or for a worker with more memory. */
  readonly delayed: number;
  readonly completed: number;
  readonly failed: number;
  /** Mean time of the last jobs, in seconds; undefined if none is remembered. */
  readonly meanSeconds: number | undefined;
}

/** Finished jobs whose times are averaged. */
const SAMPLE = 50;
const MAX_FAILURES = 10;
const MAX_GROUPS = 100;

/** Reads what a queue and its workers do. @throws as {@link openQueue}. */
export async function queueStatus(address: string): Promise<QueueStatus> {
  const connection = await openQueue(address);
  try {
    const groups = connection.queue(GROUPS);
    const now = await connection.now();
    const records = (await readWorkers(groups)).map(({ record }) => record);
    const workers = records.filter(({ at }) => now - at < GONE_MS).map(workerStatus);
    const names = await kindsOf(groups, records);
    const queues = names.map((kind) => ({ kind, queue: connection.queue(queueOf(kind)) }));
    const kinds = await Promise.all(queues.map(({ kind, queue }) => kindStatus(kind, queue)));
    const failures = (await Promise.all(queues.map(({ kind, queue }) => failuresOf(kind, queue)))).flat();
    const parents = await groups.getWaitingChildren(0, MAX_GROUPS);
    return {
      address: connection.name,
      workers,
      kinds,
      groups: [...new Set(parents.map(({ name }) => MESSAGES.clean(name)))],
      secondsLeft: secondsLeft(kinds, workers),
      failures: failures
        .sort((a, b) => b.at - a.at)
        .slice(0, MAX_FAILURES)
        .map(({ at: _, ...failure }) => failure),
    };
  } finally {
    await connection.close();
  }
}

function workerStatus({ at: _, ...record }: WorkerRecord): WorkerStatus {
  return record;
}

/** Returns all kinds that a submitter or a worker has named. */
async function kindsOf(groups: Queue, workers: readonly WorkerRecord[]): Promise<string[]> {
  const prefix = kindField('');
  const fields = Object.keys(await groups.getBackend().getQueueMeta());
  const submitted = fields
    .filter((field) => field.startsWith(prefix))
    .map((field) => field.slice(prefix.length));
  return [...new Set([...submitted, ...workers.flatMap(({ kinds }) => kinds)])].sort();
}

async function kindStatus(kind: string, queue: Queue): Promise<KindStatus> {
  const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'completed', 'failed');
  const count = (state: string) => counts[state] ?? 0;
  const times = (await queue.getCompleted(0, SAMPLE - 1)).map(secondsOf);
  return {
    kind,
    waiting: count('waiting'),
    active: count('active'),
    delayed: count('delayed'),
    completed: count('completed'),
    failed: count('failed'),
    meanSeconds: times.length ? times.reduce((sum, time) => sum + time, 0) / times.length : undefined,
  };
}

function secondsOf({ processedOn = 0, finishedOn = processedOn }: QueueJob): number {
  return Math.max(0, finishedOn - processedOn) / 1000;
}

async function failuresOf(kind: string, queue: Queue) {
  const failed = await queue.getFailed(0, MAX_FAILURES - 1);
  return failed.map(({ id, data, failedReason, finishedOn = 0 }) => ({
    kind,
    label: MESSAGES.clean((data as Partial<Payload>).label ?? id!),
    reason: MESSAGES.clean(failedReason),
    at: finishedOn,
  }));
}

/** Returns the time that the workers of each kind need for its jobs, added up: workers of several kinds do one after the other. */
function secondsLeft(kinds: readonly KindStatus[], workers: readonly WorkerStatus[]): number | undefined {
  let seconds = 0;
  for (const { kind, waiting, active, delayed, meanSeconds } of kinds) {
    const jobs = waiting + delayed + active / 2; // half of a running job is done, on average
    if (!jobs) continue;
    const slots = workers.reduce(
      (sum, worker) => sum + (worker.kinds.includes(kind) ? worker.concurrency : 0),
      0,
    );
    if (!slots || meanSeconds === undefined) return undefined;
    seconds += (jobs * meanSeconds) / slots;
  }
  return seconds;
}
