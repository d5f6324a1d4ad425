import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a worker has said: see queue-worker.js and machines-worker.js. */
export interface WorkerLine {
  readonly type: string;
  readonly message?: string;
  readonly key?: string;
  readonly kind?: string;
}

/** A worker in a process of its own. */
export class WorkerProcess {
  readonly lines: WorkerLine[] = [];
  /** Its exit code; null if a signal has ended it. */
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;
  private readonly listeners = new Set<() => void>();

  constructor(
    address: string,
    options: Readonly<Record<string, unknown>>,
    script = 'test/helpers/queue-worker.js',
  ) {
    const args = [script, address, JSON.stringify(options)];
    this.child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const reader = createInterface({ input: this.child.stdout! });
    reader.on('line', (line) => {
      this.lines.push(JSON.parse(line));
      for (const listener of this.listeners) listener();
    });
    const read = new Promise((resolve) => reader.once('close', resolve));
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (code) => void read.then(() => resolve(code)));
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits until it has said something of a type, of a job if one is given. */
  async says(type: string, key?: string): Promise<WorkerLine> {
    const find = () =>
      this.lines.find((line) => line.type === type && (key === undefined || line.key === key));
    while (!find()) await new Promise<void>((resolve) => void this.listeners.add(resolve));
    return find()!;
  }

  /** Returns how many lines of a type it has said. */
  count(type: string): number {
    return this.lines.filter((line) => line.type === type).length;
  }
}
