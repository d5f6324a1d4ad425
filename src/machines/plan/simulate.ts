import { sumOf } from '../../core/sum.js';

/** What a job, or the parent, does: it reads, then computes, then writes. */
export interface Work {
  /** Time of computing. */
  readonly seconds: number;
  /** Bytes from the store, before computing. */
  readonly readBytes: number;
  /** Bytes to the store, after computing. */
  readonly writtenBytes: number;
}

/** Jobs that may run side by side, between what the parent does alone. A stage starts when the one before it has ended. */
export interface SimulatedStage {
  readonly name: string;
  /** Done by the parent before the first job starts. */
  readonly before?: Work | undefined;
  readonly jobs: readonly Work[];
  /** Done by the parent after the last job has ended. */
  readonly after?: Work | undefined;
}

/** The machines of a run. */
export interface Machines {
  /** Workers, each with one job at a time. */
  readonly workers: number;
  /** Bytes per second between the store and one worker, or the parent. */
  readonly linkBytesPerSecond: number;
  /** Bytes per second that the store reads and writes in all. */
  readonly storeBytesPerSecond: number;
}

/** Links of 10 gigabits per second, less headers; a store on ten of them. */
export const NETWORK = { linkBytesPerSecond: 1e9, storeBytesPerSecond: 1e10 } as const;

/** How long a stage took. */
export interface StageTime {
  readonly name: string;
  readonly seconds: number;
  /** The part of it in which only the parent works. */
  readonly parentSeconds: number;
  /** Time of the jobs with the links to themselves: the longest of them, and all one after another. */
  readonly longestJobSeconds: number;
  readonly jobSeconds: number;
}

/** A simulated run. */
export interface Simulation {
  readonly seconds: number;
  readonly stages: readonly StageTime[];
  /** Share of the workers' time in which they compute. */
  readonly utilization: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Most bytes per second that moved at any time. */
  readonly peakBytesPerSecond: number;
}

/**
 * Simulates a run. Jobs are taken longest first. A worker reads, computes and writes in turn: transfers do not overlap with
 * computing of the same job. The bandwidth of the store is shared equally by all transfers, each limited by its link. Time of the queue itself,
 * failures and differences between machines are left out.
 * @throws {RangeError} for no workers, and links or a store without bandwidth.
 */
export function simulate(stages: readonly SimulatedStage[], machines: Machines): Simulation {
  const { workers, linkBytesPerSecond: link, storeBytesPerSecond: store } = machines;
  if (!(Number.isInteger(workers) && workers > 0 && link > 0 && store > 0))
    throw new RangeError(`expected workers and bandwidths above 0, found ${JSON.stringify(machines)}`);
  const alone = { ...machines, workers: 1 };
  let peak = 0;
  const run = (jobs: readonly Work[], own: Machines) => {
    const { seconds, peakBytesPerSecond } = runJobs(jobs, own);
    peak = Math.max(peak, peakBytesPerSecond);
    return seconds;
  };
  const times = stages.map(({ name, before, jobs, after }): StageTime => {
    const parentSeconds = sumOf([before, after], (work) => (work ? run([work], alone) : 0));
    const own = jobs.map((job) => secondsAlone(job, alone));
    return {
      name,
      seconds: parentSeconds + run(jobs, machines),
      parentSeconds,
      longestJobSeconds: own.reduce((most, seconds) => Math.max(most, seconds), 0),
      jobSeconds: sumOf(own, (seconds) => seconds),
    };
  });
  const seconds = sumOf(times, (stage) => stage.seconds);
  const all = stages.flatMap(({ before, jobs, after }) => [before ?? [], jobs, after ?? []].flat());
  const computing = sumOf(stages, ({ jobs }) => sumOf(jobs, (job) => job.seconds));
  return {
    seconds,
    stages: times,
    utilization: seconds ? computing / (seconds * workers) : 0,
    readBytes: sumOf(all, ({ readBytes }) => readBytes),
    writtenBytes: sumOf(all, ({ writtenBytes }) => writtenBytes),
    peakBytesPerSecond: peak,
  };
}

/** Returns how long a job takes while nothing else moves. */
export function secondsAlone(
  { seconds, readBytes, writtenBytes }: Work,
  machines: Omit<Machines, 'workers'>,
) {
  const { linkBytesPerSecond, storeBytesPerSecond } = machines;
  return seconds + (readBytes + writtenBytes) / Math.min(linkBytesPerSecond, storeBytesPerSecond);
}

/** What a worker is doing, and how much is left of its step: bytes of a transfer, seconds of computing. */
interface Running {
  readonly job: Work;
  step: number;
  left: number;
}

/** The steps of a job. */
const STEPS = [
  { amount: ({ readBytes }: Work) => readBytes, moves: true },
  { amount: ({ seconds }: Work) => seconds, moves: false },
  { amount: ({ writtenBytes }: Work) => writtenBytes, moves: true },
] as const;

/** Runs jobs on workers from one event to the next: the end of somebody's step. */
function runJobs(jobs: readonly Work[], machines: Machines) {
  const { workers, linkBytesPerSecond, storeBytesPerSecond } = machines;
  const waiting = jobs
    .map((job) => ({ job, seconds: secondsAlone(job, machines) }))
    .sort((a, b) => a.seconds - b.seconds)
    .map(({ job }) => job);
  let running: Running[] = [];
  let seconds = 0;
  let peakBytesPerSecond = 0;
  for (;;) {
    running = running.filter(advance);
    while (running.length < workers && waiting.length) {
      const next = { job: waiting.pop()!, step: -1, left: 0 };
      if (advance(next)) running.push(next);
    }
    if (!running.length) return { seconds, peakBytesPerSecond };
    const moving = sumOf(running, ({ step }) => Number(STEPS[step]!.moves));
    const rate = Math.min(linkBytesPerSecond, storeBytesPerSecond / moving);
    const speed = ({ step }: Running) => (STEPS[step]!.moves ? rate : 1);
    const elapsed = running.reduce((least, own) => Math.min(least, own.left / speed(own)), Infinity);
    for (const own of running)
      own.left = own.left / speed(own) <= elapsed ? 0 : own.left - elapsed * speed(own);
    seconds += elapsed;
    if (moving) peakBytesPerSecond = Math.max(peakBytesPerSecond, moving * rate);
  }
}

/** Goes to the next step with something to do if the last is done. @returns false at the end of the job. */
function advance(running: Running): boolean {
  while (running.left <= 0 && ++running.step < STEPS.length)
    running.left = STEPS[running.step]!.amount(running.job);
  return running.left > 0;
}
