import { availableParallelism } from 'node:os';
import '../onnx/node/no-telemetry.js'; // must be imported before threads load the runtime
import { startThread } from '../workers/node/thread.js';
import { Pool } from '../workers/pool.js';
import type { QuantizationJobs } from './jobs.js';

/** A pool of threads that quantize and encode matrices. */
export type QuantizationThreads = Pool<QuantizationJobs>;

/** Starts a pool of threads. Each has one matrix at a time, because a queued one would only take memory. */
export function startQuantization(threads = availableParallelism()): QuantizationThreads {
  const pool: QuantizationThreads = new Pool(1);
  for (let i = 0; i < Math.max(1, threads); i++)
    pool.add(startThread(new URL('./thread.js', import.meta.url)));
  return pool;
}
