import { createHash } from 'node:crypto';
import { ConnectionError, InputError, isInputError } from '../../core/errors.js';
import type { Progress } from '../../core/progress.js';
import { loadedRuntime, loadRuntime } from '../../onnx/node/runtime.js';
import type { CalibrationSource } from '../calibration/calibrate.js';
import type { Candidate } from '../candidate.js';
import { TrialLog } from './trial-log.js';
import { removeUseless } from './useless.js';

/** Options of a run that its result depends on, and those that stop it. */
export interface RunOptions {
  readonly resume?: boolean | undefined;
  readonly calibration?: CalibrationSource | undefined;
  readonly tune?: boolean | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Something that a run has finished, and a later run may need. */
interface Part {
  /** Closes it, so that it remains. @returns the path of a file that remains. */
  leave(): Promise<string | undefined>;
  /** Removes it. */
  discard(): Promise<void>;
}

/**
 * A run with what it has finished: statistics, trials and the last candidate. They are removed at the end. They remain if the process
 * is killed, or if the machine fails rather than the input (a full disk, a thread that ended), for a run that resumes.
 */
export class UnfinishedRun {
  private readonly parts: Part[];
  private thrown: unknown;

  private constructor(
    private readonly candidate: Candidate,
    private readonly output: string,
    private readonly options: RunOptions,
    private readonly identity: string,
    readonly log: TrialLog,
  ) {
    this.parts = [candidate, log];
  }

  /** Starts a run, or continues an interrupted one. @throws {InputError} when that had another model or other options. */
  static async open(candidate: Candidate, output: string, options: RunOptions): Promise<UnfinishedRun> {
    await loadRuntime();
    const identity = identityOf([await candidate.identity(), loadedRuntime()], options);
    const log = await (options.resume
      ? TrialLog.resume(output, identity)
      : TrialLog.create(output, identity));
    return new UnfinishedRun(candidate, output, options, identity, log);
  }

  /** Adds what was finished. */
  add(part: Part): void {
    this.parts.push(part);
  }

  /** Reports progress to the caller. */
  readonly onProgress = (progress: Progress): void => {
    try {
      this.options.onProgress?.(progress);
    } catch (error) {
      this.thrown = error; // the caller wants to stop
      throw error;
    }
  };

  /**
   * Runs `work` to its end.
   * @throws {InputError} with the code `resumable`, naming the files, if any remain.
   */
  async finish<Result>(work: () => Promise<Result>): Promise<Result> {
    const { candidate, options } = this;
    try {
      if (options.resume) await this.takeOver();
      const result = await work();
      await this.discard();
      if (options.resume) await this.removeOthers();
      return result;
    } catch (error) {
      const isStopped = options.signal?.aborted || error === this.thrown;
      if (!isStopped && isOfMachine(error) && !(await candidate.hasName())) throw await this.leave(error);
      await this.discard();
      throw error;
    }
  }

  private async takeOver(): Promise<void> {
    try {
      await this.candidate.takeOver();
    } catch (error) {
      // the last trial can be repeated, and what was left may be another run's
      if (!(this.log.hasRecorded && isInputError(error) && error.code === 'resume-differs')) throw error;
    }
  }

  /** Removes what further interrupted runs of the same command left. Errors do not matter: the output is complete, and the next run names the rest. */
  private async removeOthers(): Promise<void> {
    const { candidate, output, identity, options } = this;
    const nextLog = () => TrialLog.resume(output, identity).catch(() => undefined);
    for (let log = await nextLog(); log?.isTakenOver; log = await nextLog()) await log.discard();
    while (await candidate.takeOver().catch(() => false)) await candidate.discard();
    await removeUseless(output, options.calibration?.statisticsPath);
  }

  private async discard(): Promise<void> {
    for (const part of this.parts) await part.discard();
  }

  /** Leaves what was finished. @returns the error to throw. */
  private async leave(error: unknown): Promise<unknown> {
    const paths: string[] = [];
    for (const part of this.parts) {
      const path = await part.leave().catch(() => undefined);
      if (path !== undefined) paths.push(path);
    }
    return paths.length ? resumable(error, paths) : error;
  }
}

/** Returns the digest of everything that a run's trials depend on. @param basis {@link Candidate.identity}, and the runtime, whose floats differ. */
function identityOf(basis: readonly unknown[], { calibration, tune = false }: RunOptions): string {
  const { name, tokens, text } = calibration ?? {};
  return createHash('sha256')
    .update(JSON.stringify([...basis, tune, name, tokens, text]))
    .digest('hex');
}

/** Returns true for errors of the system, and for those that nobody expected. */
function isOfMachine(error: unknown): boolean {
  if (!isInputError(error) || error instanceof ConnectionError) return true;
  return (error.cause as NodeJS.ErrnoException | undefined)?.syscall !== undefined;
}

function resumable(error: unknown, paths: readonly string[]): Error {
  const remains = `what was finished is in ${paths.join(', ')}`;
  return isInputError(error)
    ? new InputError(`${error.what}; ${remains}`, error.place, { cause: error, code: 'resumable' })
    : new Error(`${error instanceof Error ? error.message : error}; ${remains}`, { cause: error });
}
