// Runs commands and measures their time and memory; shared by the benches.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const POLL_MILLISECONDS = 10;

/**
 * Runs a command to its end.
 * Peak memory is the kernel's own high-water mark (VmHWM) of the process, threads included: it only grows, so
 * reading it every 10 ms misses at most what was allocated in the last 10 ms. Processor time, user and system, is read likewise.
 * Linux only; NaN elsewhere.
 * @param {string[]} command program and arguments
 * @param {{ stdout?: string }} [options] a file that takes standard output
 * @returns {Promise<{ seconds: number, cpuSeconds: number, peakBytes: number }>}
 * @throws {Error} when the command cannot start or does not exit with 0; the message has its standard error
 */
export async function measure([program, ...args], { stdout } = {}) {
  const output = stdout === undefined ? 'ignore' : openSync(stdout, 'w');
  try {
    const started = performance.now();
    const child = spawn(program, args, { stdio: ['ignore', output, 'pipe'] });
    let peakBytes = Number.NaN;
    let cpuSeconds = Number.NaN;
    const poll = () => {
      peakBytes = highWaterBytes(child.pid) ?? peakBytes;
      cpuSeconds = usedSeconds(child.pid) ?? cpuSeconds;
    };
    const timer = setInterval(poll, POLL_MILLISECONDS);
    poll();
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      said = (said + text).slice(-2000);
    });
    let ended;
    child.once('exit', () => {
      ended = performance.now();
    });
    // `close` comes after `exit`, when the pipe has been read to its end.
    const [code] = await once(child, 'close').finally(() => clearInterval(timer));
    if (code !== 0) throw new Error(`${[program, ...args].join(' ')}: exit code ${code}: ${said.trim()}`);
    return { seconds: (ended - started) / 1000, cpuSeconds, peakBytes };
  } finally {
    if (stdout !== undefined) closeSync(output);
  }
}

/** Peak resident bytes so far of a running process; undefined once it has ended. */
function highWaterBytes(pid) {
  try {
    const kibibytes = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}

/** Clock ticks per second in /proc, on every Linux of today. */
const TICKS = 100;

/** Processor time so far of a running process; undefined once it has ended. */
function usedSeconds(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  } catch {
    return undefined;
  }
}

/** Returns the median; NaN for an empty list. */
export function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median times and largest peak of several runs of `measure`. */
export function summary(runs) {
  return {
    seconds: median(runs.map((run) => run.seconds)),
    cpuSeconds: median(runs.map((run) => run.cpuSeconds)),
    peakBytes: Math.max(...runs.map((run) => run.peakBytes)),
  };
}

/** Median seconds of a synchronous function over `runs` calls after one to warm up. */
export function time(runs, call) {
  call();
  const seconds = Array.from({ length: runs }, () => {
    const started = performance.now();
    call();
    return (performance.now() - started) / 1000;
  });
  return median(seconds);
}

/** Returns one line with the commit, the machine and the date of a measurement. */
export function machine() {
  const cores = cpus();
  const gigabytes = Math.round(totalmem() / 1e9);
  const hardware = `${cores.length} cores of ${cores[0]?.model ?? 'unknown'}, ${gigabytes} GB`;
  return `commit ${commit()}; ${hardware}, Node ${process.version}; ${new Date().toISOString().slice(0, 10)}`;
}

/** The commit that is checked out, with "and changes" if files differ from it; "unknown" outside of a repository. */
function commit() {
  const git = (...args) =>
    execFileSync('git', ['-C', ROOT, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' and changes' : ''}`;
  } catch {
    return 'unknown';
  }
}
