import type { FlowJob, FlowProducer, Queue, Worker } from 'bullmq';
import type { QueueConnection } from './connection.js';
import { GROUPS } from './names.js';

/** Groups whose submitter has died are removed after this time. */
const MAX_AGE_MS = 7 * 24 * 3600 * 1000;

/**
 * The parents of jobs, one per group of a submitter. They show in the queue which jobs belong together, and which nobody wants
 * any more. What has a result is decided by the jobs themselves: a job has one parent, but may be wanted by many.
 */
export class Parents {
  /** The queue of groups. */
  readonly queue: Queue;
  private readonly flows: FlowProducer;
  private readonly taker: Worker;

  constructor(connection: QueueConnection) {
    this.queue = connection.queue(GROUPS);
    this.flows = connection.flows();
    this.taker = connection.taker(GROUPS, {});
  }

  /** Adds children to a parent, which is made if it is not there. A child that is there already stays as it is. */
  async add(id: string, name: string, children: NonNullable<FlowJob['children']>): Promise<void> {
    const opts = { jobId: id, removeOnComplete: true, removeOnFail: true };
    await this.flows.add({ name, queueName: GROUPS, opts, children });
  }

  /** Completes all parents whose children have ended: every submitter does, so that no busy worker delays them. */
  async complete(): Promise<void> {
    for (;;) {
      const token = crypto.randomUUID();
      const parent = await this.taker.getNextJob(token, { block: false });
      if (!parent) return;
      if (!(await parent.moveToWaitingChildren(token))) await parent.moveToCompleted(null, token, false);
    }
  }

  /** Removes a parent. */
  async remove(id: string): Promise<void> {
    await this.queue.remove(id, { removeChildren: false });
  }

  /** Removes a parent and those of its children that nobody has begun. */
  async cancel(id: string): Promise<void> {
    const parent = await this.queue.getJob(id);
    await parent?.removeUnprocessedChildren();
    await this.remove(id);
  }

  /** Removes parents that were left behind. */
  async removeOld(connection: QueueConnection): Promise<void> {
    const now = await connection.now();
    for (const parent of await this.queue.getWaitingChildren(0, 100))
      if (now - parent.timestamp > MAX_AGE_MS) await this.remove(parent.id!);
  }
}
