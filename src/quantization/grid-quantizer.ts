import type { GridCodes } from '../grids/format.js';
import { buffersOf, type GridJob } from './jobs.js';
import type { QuantizationThreads } from './threads.js';

/** A matrix to quantize to grids: all of a job, once it is its turn, in memory of its own. */
export type GridTask = () => Promise<GridJob>;

/**
 * Quantizes matrices to grids. Those that are asked for next are computed ahead, as many as there are threads, so that few are in memory.
 */
export class GridQuantizer {
  private tasks: readonly GridTask[] = [];
  private readonly running = new Map<GridTask, Promise<GridCodes>>();
  private started = 0;

  constructor(private readonly threads: QuantizationThreads) {}

  /** Says which matrices will be asked for, in which order. */
  expect(tasks: readonly GridTask[]): void {
    this.tasks = tasks;
    this.started = 0;
  }

  /**
   * Returns the codes of a matrix that is expected, once.
   * @throws {InputError} when statistics cannot be factorized, and for weights that a float16 scale cannot reach.
   */
  async take(task: GridTask): Promise<GridCodes> {
    const last = Math.min(this.tasks.indexOf(task) + 1 + this.threads.count, this.tasks.length);
    for (; this.started < last; this.started++) {
      const next = this.tasks[this.started]!;
      const running = this.run(next);
      running.catch(() => {}); // awaited when it is asked for
      this.running.set(next, running);
    }
    const codes = await this.running.get(task)!;
    this.running.delete(task);
    return codes;
  }

  private async run(task: GridTask): Promise<GridCodes> {
    const job = await task();
    return this.threads.run('quantizeToGrids', job, buffersOf(job));
  }
}
