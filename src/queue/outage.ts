import { MESSAGES } from '../core/errors.js';
import { wait } from './wait.js';

/** Error codes of PostgreSQL, by their first two characters, that time may mend: connection, resources, operator, system. */
const TRANSIENT_CLASSES = new Set(['08', '40', '53', '55', '57', '58', 'XX']);
/** Refusals of Redis that time may mend. */
const TRANSIENT_REPLIES =
  /^(LOADING|READONLY|OOM|MASTERDOWN|BUSY|TRYAGAIN|CLUSTERDOWN|MISCONF|NOREPLICAS|UNBLOCKED|EXECABORT)\b/;
const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 2000;

/** Receives, as one line, what a user should know: outages and their ends, settings that lose jobs. */
export type Notify = (message: string) => void;

/** Says once per outage that a server does not answer, and once that it does again. */
export class Outage {
  /** Called each time the server answers again. */
  readonly recovered = new Set<() => void>();
  private reason: string | undefined;
  private over = false;

  constructor(
    private readonly server: string,
    private readonly notify: Notify,
  ) {}

  /** True from the first failure to the next answer. */
  get lasts(): boolean {
    return this.reason !== undefined;
  }

  /** Notes that the server does not answer. */
  begin(error: unknown): void {
    if (this.lasts || this.over) return;
    this.reason = reasonOf(error);
    this.notify(`${this.server}: connection lost (${this.reason}), waiting for the server`);
  }

  /** Notes that the server answers. */
  end(): void {
    if (!this.lasts || this.over) return;
    this.reason = undefined;
    this.notify(`${this.server}: connected again`);
    for (const listener of this.recovered) listener();
  }

  /** Ends all waiting: calls that fail from now on throw. */
  close(): void {
    this.over = true;
  }

  /** Calls a function until the server answers. @throws what the server answers, when it refuses. */
  async outlast<T>(call: () => Promise<T>): Promise<T> {
    for (let pause = FIRST_WAIT_MS; ; pause = Math.min(2 * pause, MAX_WAIT_MS)) {
      try {
        const result = await call();
        this.end();
        return result;
      } catch (error) {
        if (this.over || !isTransient(error)) throw error;
        this.begin(error);
        await wait(pause);
      }
    }
  }
}

/** Returns whether a call that failed so may succeed later. */
export function isTransient(error: unknown): boolean {
  const { name, code, message } = error as { name?: string; code?: unknown; message?: string };
  if (error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError) return false;
  if (typeof code === 'number') return false; // the queue's own answer
  if (name === 'ReplyError') return TRANSIENT_REPLIES.test(message ?? '');
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E'))
    return TRANSIENT_CLASSES.has(code.slice(0, 2));
  return true;
}

/** Returns the reason of a failed connection, as one line. Lists of errors, one per address of a host, have no message. */
export function reasonOf(error: unknown): string {
  const { message, code, errors } = error as { message?: string; code?: string; errors?: unknown[] };
  if (!message && errors?.length) return reasonOf(errors[0]);
  return MESSAGES.clean(message || code || String(error));
}
