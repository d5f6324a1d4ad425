import { type ChildProcess, spawn } from 'node:child_process';

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
  private readonly child: ChildProcess;

  /** @param preload a module that is loaded into the process before the program */
  constructor(
    args: readonly string[],
    { env = {}, preload }: { env?: Record<string, string>; preload?: string } = {},
  ) {
    const flags =
      preload === undefined ? [] : ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
    this.child = spawn(process.execPath, [...flags, PROGRAM, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
    });
    let stderr = '';
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (status, signal) => resolve({ status, signal, stderr }));
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
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
