import { availableParallelism } from 'node:os';
import { startThread } from '../../workers/node/thread.js';
import { BlockPool } from '../block-pool.js';
import { NODE_BLOCK_JOBS } from './jobs.js';

/** Starts a pool of threads. @param threads 0: jobs run on the calling thread; default: the machine's parallelism. */
export function startBlockPool(threads = availableParallelism()): BlockPool {
  const pool = new BlockPool(NODE_BLOCK_JOBS, threads > 0);
  for (let i = 0; i < threads; i++) pool.add(startThread(new URL('./block-thread.js', import.meta.url)));
  return pool;
}
