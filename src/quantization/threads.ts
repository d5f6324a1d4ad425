import { Threads } from '../workers/threads.js';
import type { Job, Result } from './jobs.js';

/** Threads that quantize and encode matrices. */
export type QuantizationThreads = Threads<Job, Result>;

/** Starts threads, each of which has one matrix at a time: a second one would only take memory. */
export function startQuantization(threads?: number): QuantizationThreads {
  return new Threads(new URL('./worker.js', import.meta.url), threads);
}
