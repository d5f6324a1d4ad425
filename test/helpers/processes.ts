import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';

const PROGRAM = 'dist/cli/main.js';

/** How a run of the command line ended. */
export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** A run of the command line that goes on while the test does. */
export class Running {
  readonly ended: Promise<Ended>;
  /** What it has printed on standard error so far. */
  stderr = '';
  private readonly child: ChildProcess;

  /** @param preload a module that is loaded into the process before the program. @param program another build of it. */
  constructor(
    args: readonly string[],
    {
      env = {},
      preload,
      program = PROGRAM,
    }: { env?: Record<string, string>; preload?: string; program?: string } = {},
  ) {
    const flags =
      preload === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
    this.child = spawn(process.execPath, [...flags, program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (status, signal) => resolve({ status, signal, stderr: this.stderr }));
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits until it has printed something on standard error. @throws when it ends before. */
  async says(pattern: RegExp): Promise<void> {
    let hasEnded = false;
    void this.ended.then(() => {
      hasEnded = true;
    });
    while (!pattern.test(this.stderr)) {
      if (hasEnded) throw new Error(`ended before it said ${pattern}: ${this.stderr}`);
      await setTimeout(10);
    }
  }

  /** Sends a signal as soon as a condition holds. @returns how it ended */
  async endWhen(condition: () => boolean, signal: NodeJS.Signals): Promise<Ended> {
    const timer = setInterval(() => {
      if (!condition()) return;
      clearInterval(timer);
      this.kill(signal);
    }, 2);
    return this.ended.finally(() => clearInterval(timer));
  }
}
