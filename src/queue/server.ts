import type { Worker } from 'bullmq';
import { ConnectionError, InputError, isInputError, MESSAGES } from '../core/errors.js';
import { Attempt, stopped, type Taken } from './attempt.js';
import type { QueueConnection } from './connection.js';
import { Heartbeat } from './heartbeat.js';
import type { Identity, Job } from './job.js';
import { queueOf } from './names.js';
import { isTransient, reasonOf } from './outage.js';
import { readPayload } from './payload.js';
import type { ServeEvent, ServeOptions } from './serve-options.js';
import { settlesWithin, untilAborted, wait } from './wait.js';

const LOCK_MS = 30_000;
/** Pauses between two questions for jobs while there are none: a share of the time since the last job, so that no gap becomes much longer. */
const MIN_IDLE_MS = 50;
const MAX_IDLE_MS = 1000;
const IDLE_SHARE = 1 / 8;
/** Workers that may die with a job before it is given up: the job may be what kills them. */
const MAX_DEATHS = 50;
/** Time for which memory is left free for a job that did not fit; another worker may have taken it since. */
const RESERVE_MS = 5000;
/** Pause before a job that is too large for this worker can come back, longer each time. */
const TOO_LARGE_MS = 1000;
const MAX_TOO_LARGE_MS = 30_000;
/** Time to hand back jobs to a server that may be away. */
const HAND_BACK_MS = 2000;
const MAX_REASON_LENGTH = 500;

/** A worker: takes jobs from the queues of its kinds, by turns, while it has room for them. */
export class Server {
  private readonly attempts = new Map<string, Attempt>();
  private readonly stopping = new AbortController();
  private readonly id = crypto.randomUUID();
  private readonly workers: { kind: string; worker: Worker }[] = [];
  private connection!: QueueConnection;
  private heartbeat!: Heartbeat;
  /** The end of the grace period. */
  private deadline = Number.POSITIVE_INFINITY;
  /** Ends a pause: room was made, or the grace period was changed. */
  private change = new AbortController();
  private failure: Error | undefined;
  private tokens = 0;
  private turn = 0;
  /** Memory that is left free for a job that did not fit. */
  private reserved = { bytes: 0, until: 0 };

  constructor(private readonly options: ServeOptions) {}

  /** Takes and runs jobs until it is stopped. @throws {InputError} when the queue cannot be served. */
  async serve(open: () => Promise<QueueConnection>): Promise<void> {
    const { lockMs = LOCK_MS, kinds } = this.options;
    const queues = kinds.map(queueOf);
    this.connection = await open();
    this.heartbeat = new Heartbeat(this.connection, this.id, this.options, this.attempts);
    const locks = setInterval(() => void this.renewLocks(lockMs), lockMs / 3);
    try {
      for (const [i, kind] of kinds.entries()) {
        const worker = this.connection.taker(queues[i]!, {
          name: this.heartbeat.name,
          lockDuration: lockMs,
          stalledInterval: lockMs,
          maxStalledCount: MAX_DEATHS,
        });
        await worker.startStalledCheckTimer();
        this.workers.push({ kind, worker });
      }
      this.heartbeat.start();
      this.tell('ready', `${this.connection.name}: waiting for jobs`);
      await this.takeJobs();
      await this.finish();
    } catch (error) {
      if (isInputError(error)) throw error;
      throw new InputError(`${this.connection.name}: ${reasonOf(error)}`, {}, { cause: error });
    } finally {
      clearInterval(locks);
      await settlesWithin(this.heartbeat.stop(), HAND_BACK_MS);
      await this.connection.close();
    }
    if (this.failure) throw this.failure;
  }

  /** Begins to stop: see {@link QueueServer.stop}. */
  stop(graceMs: number): void {
    this.deadline = Math.min(this.deadline, Date.now() + graceMs);
    this.stopping.abort();
    this.change.abort();
  }

  private tell(type: ServeEvent['type'], message: string, job?: Job): void {
    this.options.onEvent?.({ type, message: MESSAGES.clean(message), ...(job && { job }) });
  }

  private async takeJobs(): Promise<void> {
    let busyAt = Date.now();
    while (!this.stopping.signal.aborted) {
      this.change = new AbortController();
      const pause = this.pause();
      if (pause) await wait(pause, this.change.signal);
      else if (!(await this.takeJob())) {
        const idleMs = Math.max(MIN_IDLE_MS, IDLE_SHARE * (Date.now() - busyAt));
        await wait(Math.min(idleMs, MAX_IDLE_MS), this.stopping.signal);
        continue;
      }
      busyAt = Date.now();
    }
  }

  /** Returns how long to wait for room, in milliseconds; 0 if there is some. */
  private pause(): number {
    if (this.attempts.size >= this.options.concurrency) return Number.POSITIVE_INFINITY;
    const { bytes, until } = this.reserved;
    return bytes > this.freeBytes() ? Math.max(0, until - Date.now()) : 0;
  }

  private freeBytes(): number {
    let bytes = this.options.memoryBytes;
    for (const { job } of this.attempts.values()) bytes -= job.memoryBytes;
    return bytes;
  }

  /** Takes a job of the next kind that has one. @returns whether there was one */
  private async takeJob(): Promise<boolean> {
    for (const _ of this.workers) {
      const { kind, worker } = this.workers[this.turn++ % this.workers.length]!;
      const token = `${this.id}:${this.tokens++}`;
      const inQueue = await this.unlessStopped(() => worker.getNextJob(token, { block: false }));
      if (inQueue) {
        await this.admit(kind, { inQueue, token });
        return true;
      }
      if (this.stopping.signal.aborted) return false;
    }
    return false;
  }

  /** Calls the server, however long it takes; undefined if the worker is stopped and the server does not answer soon. */
  private async unlessStopped<T>(call: () => Promise<T>): Promise<T | undefined> {
    const answer = this.connection.outage.outlast(call);
    await untilAborted(answer, this.stopping.signal);
    return (await settlesWithin(answer, HAND_BACK_MS)) ? answer : undefined;
  }

  /** Runs a job, or hands it back. */
  private async admit(kind: string, taken: Taken): Promise<void> {
    const { inQueue, token } = taken;
    const read = readPayload(inQueue.id!, kind, inQueue.data);
    if (!read) {
      await this.settle(() => this.reject(taken, new InputError('not a job of this program')));
      return;
    }
    const { job, identity } = read;
    const running = this.attempts.get(job.key);
    const { memoryBytes } = this.options;
    if (this.stopping.signal.aborted) await this.handBack(taken, job, 'the worker is stopping');
    else if (!same(identity, this.options.identity)) {
      await this.handBack(
        taken,
        job,
        'the job is of another version, or of a processor that rounds otherwise',
      );
      this.failure = otherVersion(identity, this.options.identity);
      this.stop(Number.POSITIVE_INFINITY);
    } else if (inQueue.deferredFailure) {
      await this.settle(() =>
        this.reject(taken, new InputError(`${MAX_DEATHS} workers ended while they ran it`)),
      );
    } else if (running?.wanted) {
      running.taken = taken; // its lock was lost, and nobody else took it
      running.owned = true;
    } else if (running || job.memoryBytes > memoryBytes) {
      const delay = Math.min(TOO_LARGE_MS * inQueue.attemptsStarted, MAX_TOO_LARGE_MS);
      await this.settle(() => inQueue.moveToDelayed(Date.now() + delay, token));
      const why = running
        ? 'it still runs here'
        : `it takes ${job.memoryBytes} bytes of memory, this worker has ${memoryBytes}`;
      this.tell('handed-back', `${job.label}: handed back: ${why}`, job);
    } else if (job.memoryBytes > this.freeBytes()) {
      await this.handBack(taken, job, 'no memory is free for it');
      this.reserved = { bytes: job.memoryBytes, until: Date.now() + RESERVE_MS };
    } else this.start(new Attempt(job, taken));
  }

  private start(attempt: Attempt): void {
    const { job } = attempt;
    this.attempts.set(job.key, attempt);
    this.reserved = { bytes: 0, until: 0 };
    this.tell('started', job.label, job);
    const { result, ended } = attempt.run(this.options.run);
    const settled = result.then(
      (returned) =>
        this.settleAttempt(attempt, 'finished', job.label, ({ inQueue, token }) =>
          inQueue.moveToCompleted(returned ?? null, token, false),
        ),
      (error) =>
        this.settleAttempt(attempt, 'failed', `${job.label}: ${reasonOf(error)}`, (taken) =>
          this.reject(taken, error),
        ),
    );
    void Promise.all([settled.catch((error) => this.end(error)), ended]).then(() => {
      this.attempts.delete(job.key);
      this.change.abort();
    });
  }

  /** Tells the queue how an attempt ended, unless the job is no longer this worker's. */
  private async settleAttempt(
    attempt: Attempt,
    type: 'finished' | 'failed',
    message: string,
    move: (taken: Taken) => Promise<unknown>,
  ): Promise<void> {
    const { job } = attempt;
    attempt.settling = true;
    if (attempt.owned && (await this.settle(() => move(attempt.taken)))) this.tell(type, message, job);
    else if (attempt.owned) this.tell('taken-over', `${job.label}: another worker has taken it over`, job);
    attempt.owned = false;
  }

  /** Moves a job in the queue. @returns false if this worker does not have it any more: the result of the other is the same. */
  private async settle(move: () => Promise<unknown>): Promise<boolean> {
    try {
      await this.connection.outage.outlast(move);
      return true;
    } catch (error) {
      if (typeof (error as { code?: unknown }).code !== 'number') throw error;
      return false;
    }
  }

  /** Ends an attempt without a result. */
  private reject({ inQueue, token }: Taken, error: unknown): Promise<unknown> {
    const reason = new Error(reasonOf(error).slice(0, MAX_REASON_LENGTH));
    if (isInputError(error) && !(error instanceof ConnectionError)) reason.name = 'UnrecoverableError';
    return inQueue.moveToFailed(reason, token, false);
  }

  /** Gives a job back as it was: the attempt does not count. */
  private async handBack(taken: Taken, job: Job, why: string): Promise<void> {
    await this.settle(() => taken.inQueue.moveToWait(taken.token));
    this.tell('handed-back', `${job.label}: handed back: ${why}`, job);
  }

  private end(error: Error): void {
    if (isTransient(error)) return; // the connection was closed
    this.failure ??= error;
    this.stop(0);
  }

  private async renewLocks(lockMs: number): Promise<void> {
    for (const { kind, worker } of this.workers) {
      const owned = [...this.attempts.values()].filter(({ job, owned }) => owned && job.kind === kind);
      if (!owned.length) continue;
      const tokens = owned.map(({ taken }) => taken.token);
      const keys = owned.map(({ job }) => job.key);
      const lost = await worker.extendJobLocks(keys, tokens, lockMs).catch(() => [] as string[]);
      for (const [i, attempt] of owned.entries())
        if (
          lost.includes(keys[i]!) &&
          attempt.owned &&
          !attempt.settling &&
          attempt.taken.token === tokens[i]
        ) {
          attempt.owned = false; // it goes on: its result serves the other worker
          this.tell('taken-over', `${attempt.job.label}: its lock has expired`, attempt.job);
        }
    }
  }

  /** Waits for jobs until the grace period ends, and hands back the rest. */
  private async finish(): Promise<void> {
    while (this.attempts.size && Date.now() < this.deadline) {
      this.change = new AbortController();
      await wait(this.deadline - Date.now(), this.change.signal);
    }
    const rest = [...this.attempts.values()];
    const handed = rest.map(async (attempt) => {
      const { owned, taken, job } = attempt;
      attempt.owned = false;
      if (owned && attempt.wanted) await this.handBack(taken, job, 'the worker was stopped');
    });
    await settlesWithin(Promise.all(handed), HAND_BACK_MS);
    for (const attempt of rest) attempt.abort(stopped());
  }
}

function same(a: Identity, b: Identity): boolean {
  return a.version === b.version && a.arithmetic === b.arithmetic;
}

function otherVersion(job: Identity, own: Identity): InputError {
  const name = ({ version, arithmetic }: Identity) => `${version} (${arithmetic})`;
  return new InputError(
    `the jobs are of weightpress ${name(job)}, this worker is ${name(own)}: run the same version everywhere`,
  );
}
