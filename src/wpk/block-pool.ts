import { Buffers, movedBuffers } from '../workers/buffers.js';
import { Pool } from '../workers/pool.js';
import type { JobOf, PoolWorker } from '../workers/protocol.js';
import { type BlockJobs, BUFFER_BYTES, type DecodeJob, type EncodeJob } from './jobs.js';

/** Jobs on fewer bytes take less time than a message to a worker. */
const SMALL_BYTES = 2 ** 12;

/** Judges a frame by its decoded size: a few bytes of a lossy block can be much work. */
function isSmall(job: Pick<EncodeJob, 'bytes'> & Partial<DecodeJob>): boolean {
  const decoded = job.planned ? job.planned.endByte - job.planned.firstByte : 0;
  return Math.max(job.bytes.length, decoded) <= SMALL_BYTES;
}

/** Returns the elements of a base that a job comes with. */
function basesOf({ base, side }: Partial<EncodeJob & DecodeJob>): Uint8Array[] {
  return [base, side?.base].filter((bytes) => bytes !== undefined);
}

/**
 * Runs jobs on blocks in workers. Small jobs, and all jobs while there are no workers, run on the calling thread. A job's buffer is
 * shared or moved, not copied: the caller must not use it until the job is done. The result is in the same buffer; the caller passes it
 * to `give` after use.
 */
export class BlockPool<Kind extends keyof BlockJobs = keyof BlockJobs> {
  private readonly pool = new Pool<BlockJobs>();
  private readonly buffers: Buffers;

  /** @param jobs the jobs that the workers run. @param shared whether they share the memory of buffers: pages cannot, as a rule. */
  constructor(
    private readonly jobs: Pick<BlockJobs, Kind>,
    shared = false,
  ) {
    this.buffers = new Buffers(BUFFER_BYTES, shared);
  }

  /** Number of jobs that keep all workers busy. */
  get depth(): number {
    return this.pool.depth;
  }

  /** Adds a worker that is ready for jobs. */
  add(worker: PoolWorker): void {
    this.pool.add(worker);
  }

  /** Returns the first `length` bytes of a buffer with room for at least `room` bytes. Their content is undefined. */
  take(length: number, room?: number): Uint8Array {
    return this.buffers.take(length, room);
  }

  /** Returns the buffer of a result for reuse. */
  give(bytes: Uint8Array): void {
    this.buffers.give(bytes);
  }

  /** Runs a job. @throws the job's error. @throws {Error} when a worker has ended unexpectedly. */
  async run<Some extends Kind>(kind: Some, job: JobOf<BlockJobs[Some]>): Promise<Uint8Array> {
    if ((!this.pool.count && !this.pool.hasEnded) || isSmall(job)) return this.jobs[kind](job as never);
    return this.pool.run(kind, job, movedBuffers([job.bytes, ...basesOf(job)]));
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}
