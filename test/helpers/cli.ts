import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';

const PROGRAM = 'dist/cli/main.js';

/** Runs the command line to its end. */
export function weightpress(...args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' });
}

/** The same while this process goes on, as it must where it is the server that is talked to. */
export function weightpressWith(
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<SpawnSyncReturns<string>> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...process.env, ...env } });
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text;
    });
  return new Promise((resolve) => {
    child.on('close', (status, signal) => {
      const output = [null, said.stdout, said.stderr];
      resolve({ ...said, pid: child.pid ?? 0, output, status, signal } as SpawnSyncReturns<string>);
    });
  });
}

/** Starts the command line and interrupts it, as control-C does, as soon as a condition holds. */
export function interruptedWhen(condition: () => boolean, ...args: readonly string[]) {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const timer = setInterval(() => {
    if (!condition()) return;
    clearInterval(timer);
    child.kill('SIGINT');
  }, 5);
  return new Promise<{ status: number | null; stderr: string }>((resolve) => {
    child.on('close', (status) => {
      clearInterval(timer);
      resolve({ status, stderr });
    });
  });
}

/** Starts the command line and kills it, as `kill -9` does, after so many milliseconds. @returns whether it was still running */
export function killedAfter(milliseconds: number, ...args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: 'ignore' });
  const timer = setTimeout(() => child.kill('SIGKILL'), milliseconds);
  return new Promise((resolve) => {
    child.on('exit', (_, signal) => {
      clearTimeout(timer);
      resolve(signal === 'SIGKILL');
    });
  });
}

/** What a user sees of bad input: the exit code, one line on standard error, no stack. */
export function complaint({ status, stderr, stdout }: SpawnSyncReturns<string>) {
  const lines = stderr.split('\n').filter(Boolean);
  return { status, lines: lines.length, stack: /^\s+at /m.test(stderr), message: lines[0] ?? '', stdout };
}
