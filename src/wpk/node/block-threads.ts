import { availableParallelism } from 'node:os';
import { startThread } from '../../workers/node/thread.js';
import { BlockPool } from '../block-pool.js';
import { BLOCK_JOBS } from '../jobs.js';

/** Starts a pool of threads. @param threads 0: jobs run on the calling thread; default: what the machine runs at once. */
export function startBlockPool(threads = availableParallelism()): BlockPool {
  const pool = new BlockPool(BLOCK_JOBS);
  for (let i = 0; i < threads; i++) pool.add(startThread(new URL('./block-thread.js', import.meta.url)));
  return pool;
}
