import type { Queue, QueueEvents } from 'bullmq';
import type { QueueConnection } from './connection.js';
import type { Group, GroupHandlers } from './group.js';
import { type GroupOptions, GroupRun } from './group-run.js';
import type { FailedJob, Identity, Job, Json } from './job.js';
import { kindField, queueOf } from './names.js';
import { openQueue } from './open.js';
import type { Notify } from './outage.js';
import { Parents } from './parents.js';

export type { Group, GroupHandlers } from './group.js';

/** Options of a submitter. */
export interface SubmitterOptions {
  /** Receives one line per outage of the server, and one when it is over. */
  readonly onNotice?: Notify;
  /** Milliseconds between two looks at the states of all pending jobs; 5000 by default. */
  readonly lookMs?: number;
  /** Milliseconds before the second attempt of a job; doubled for each further one; 1000 by default. */
  readonly retryMs?: number;
}

/**
 * Puts jobs on a queue and reports their results. Several submitters may want the same jobs at the same time: each job is in the
 * queue once, and everybody gets its result.
 */
export class Submitter {
  private readonly queues = new Map<string, { queue: Queue; events: QueueEvents }>();
  private readonly runs = new Set<GroupRun>();
  private readonly parents: Parents;

  private constructor(
    private readonly connection: QueueConnection,
    private readonly options: GroupOptions,
  ) {
    this.parents = new Parents(connection);
    connection.outage.recovered.add(() => {
      for (const run of this.runs) run.look(); // events of the outage are lost
    });
  }

  /**
   * Connects to a queue. @param identity what workers must have in common with this process.
   * @throws as {@link openQueue}.
   */
  static async open(address: string, identity: Identity, options: SubmitterOptions = {}): Promise<Submitter> {
    const connection = await openQueue(address, options.onNotice);
    const { lookMs = LOOK_MS, retryMs = RETRY_MS } = options;
    const submitter = new Submitter(connection, { identity, lookMs, retryMs });
    await submitter.parents.removeOld(connection).catch(() => {}); // the next submitter tries again
    return submitter;
  }

  /**
   * Runs jobs on the workers of the queue, each key once. Resolves when all have ended, with those that have no result.
   * @throws the signal's reason, after jobs that wait for this call alone were removed; what a handler throws.
   */
  async runJobs(group: Group, jobs: readonly Job[], handlers: GroupHandlers = {}): Promise<FailedJob[]> {
    handlers.signal?.throwIfAborted();
    for (const kind of new Set(jobs.map(({ kind }) => kind))) await this.serve(kind);
    const queue = (kind: string) => this.queues.get(kind)!.queue;
    const run = new GroupRun(this.connection, this.parents, queue, group, jobs, handlers, this.options);
    this.runs.add(run);
    try {
      return await run.run();
    } finally {
      this.runs.delete(run);
    }
  }

  /** Ends all connections. Jobs in the queue stay there. */
  async close(): Promise<void> {
    await this.connection.close();
  }

  private async serve(kind: string): Promise<void> {
    if (this.queues.has(kind)) return;
    const name = queueOf(kind);
    const queue = this.connection.queue(name);
    const events = this.connection.events(name);
    this.queues.set(kind, { queue, events });
    const all = (report: (run: GroupRun) => void) => this.runs.forEach(report);
    events.on('completed', ({ jobId, returnvalue }) =>
      all((run) => run.complete(jobId, returnvalue as unknown as Json)),
    );
    events.on('failed', ({ jobId, failedReason }) => all((run) => run.fail(jobId, failedReason)));
    events.on('progress', ({ jobId, data }) => all((run) => run.progress(jobId, data)));
    const groups = this.parents.queue.getBackend();
    await this.connection.outage.outlast(() => groups.setQueueMeta({ [kindField(kind)]: 1 }));
  }
}

const LOOK_MS = 5000;
const RETRY_MS = 1000;
