import { Buffers } from '../workers/buffers.js';
import { Pool } from '../workers/pool.js';
import type { JobOf, PoolWorker } from '../workers/protocol.js';
import { type BlockJobs, BUFFER_BYTES, type DecodeJob, type EncodeJob } from './jobs.js';

/** Jobs on fewer bytes take less time than the message to a worker. */
const SMALL_BYTES = 2 ** 12;

/** What a frame decodes to counts, not the frame: of a lossy block, few bytes can be much work. */
function isSmall(job: Pick<EncodeJob, 'bytes'> & Partial<DecodeJob>): boolean {
  const decoded = job.planned ? job.planned.endByte - job.planned.firstByte : 0;
  return Math.max(job.bytes.length, decoded) <= SMALL_BYTES;
}

/**
 * Runs jobs on blocks in workers; on the calling thread those that are small, and all of them while there are no workers. A job's
 * buffer is moved, not copied: the caller must not use it until the result, in the same memory, is back, and gives it back when
 * done with that.
 */
export class BlockPool<Kind extends keyof BlockJobs = keyof BlockJobs> {
  private readonly pool = new Pool<BlockJobs>();
  private readonly buffers = new Buffers(BUFFER_BYTES);

  /** @param jobs what the workers serve. */
  constructor(private readonly jobs: Pick<BlockJobs, Kind>) {}

  /** How many jobs to ask for at a time, so that no worker idles. */
  get depth(): number {
    return this.pool.depth;
  }

  /** Adds a worker that is ready for jobs. */
  add(worker: PoolWorker): void {
    this.pool.add(worker);
  }

  /** Returns a buffer's first `length` bytes, to be filled; it has room for `room` bytes. */
  take(length: number, room?: number): Uint8Array {
    return this.buffers.take(length, room);
  }

  /** Takes back the buffer of a result. */
  give(bytes: Uint8Array): void {
    this.buffers.give(bytes);
  }

  /** @throws what the job throws. @throws {Error} when a worker has ended by itself. */
  async run<Some extends Kind>(kind: Some, job: JobOf<BlockJobs[Some]>): Promise<Uint8Array> {
    if (!this.pool.count || isSmall(job)) return this.jobs[kind](job as never);
    return this.pool.run(kind, job, [job.bytes.buffer as ArrayBuffer]);
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}
