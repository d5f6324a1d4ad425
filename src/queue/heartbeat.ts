import { hostname } from 'node:os';
import type { Queue } from 'bullmq';
import type { Attempt } from './attempt.js';
import type { QueueConnection } from './connection.js';
import { GROUPS, workerField } from './names.js';
import type { WorkerRecord } from './worker-record.js';

const BEAT_MS = 5000;
/** Workers that have not written for so long are gone. */
export const GONE_MS = 30_000;
/** Records of workers that are gone are removed after this time. */
const FORGOTTEN_MS = 3600_000;

/** Tells in the queue's metadata, every few seconds, that a worker is there and what it runs. */
export class Heartbeat {
  /** The worker, for people. */
  readonly name = `${hostname()}/${process.pid}`;
  private readonly queue: Queue;
  private timer: NodeJS.Timeout | undefined;
  /** The last writing; the next one waits for it, however long the server is away. */
  private writing: Promise<unknown> | undefined;

  constructor(
    private readonly connection: QueueConnection,
    private readonly id: string,
    private readonly options: {
      readonly kinds: readonly string[];
      readonly concurrency: number;
      readonly memoryBytes: number;
      readonly identity: { readonly version: string };
    },
    private readonly attempts: ReadonlyMap<string, Attempt>,
  ) {
    this.queue = connection.queue(GROUPS);
  }

  start(): void {
    this.timer = setInterval(() => this.beat(), BEAT_MS);
    this.beat();
    this.removeForgotten().catch(() => {}); // the next worker tries again
  }

  /** Removes the worker from the queue. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.writing;
    await this.queue.getBackend().removeQueueMetaFields([workerField(this.id)]);
  }

  private beat(): void {
    this.writing ??= this.write()
      .catch(() => {}) // the next one tells more
      .finally(() => {
        this.writing = undefined;
      });
  }

  private async write(): Promise<void> {
    const { kinds, concurrency, memoryBytes, identity } = this.options;
    const at = await this.connection.now();
    const running = [...this.attempts.values()].map(({ job, started }) => ({
      kind: job.kind,
      label: job.label,
      seconds: Math.round((Date.now() - started) / 1000),
    }));
    const host = hostname();
    const { pid } = process;
    const record: WorkerRecord = {
      host,
      pid,
      kinds,
      concurrency,
      memoryBytes,
      version: identity.version,
      running,
      at,
    };
    await this.queue.getBackend().setQueueMeta({ [workerField(this.id)]: JSON.stringify(record) });
  }

  private async removeForgotten(): Promise<void> {
    const now = await this.connection.now();
    const records = await readWorkers(this.queue);
    const forgotten = records
      .filter(({ record }) => now - record.at > FORGOTTEN_MS)
      .map(({ field }) => field);
    if (forgotten.length) await this.queue.getBackend().removeQueueMetaFields(forgotten);
  }
}

/** Reads the records of all workers from the metadata of a queue, of those too that are gone. */
export async function readWorkers(queue: Queue): Promise<{ field: string; record: WorkerRecord }[]> {
  const meta = await queue.getBackend().getQueueMeta();
  return Object.entries(meta).flatMap(([field, text]) =>
    field.startsWith(workerField('')) ? [{ field, record: JSON.parse(text) as WorkerRecord }] : [],
  );
}
