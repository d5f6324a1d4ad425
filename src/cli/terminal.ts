import { SingleBar } from 'cli-progress';
import CliTable from 'cli-table3';
import { type Command, CommanderError } from 'commander';
import { isInputError } from '../core/errors.js';
import { NOTICES } from '../core/notices.js';
import { plainJson, plainLine, plainText } from '../core/plain-text.js';
import type { Progress } from '../core/progress.js';
import { withoutSecrets } from '../core/secrets.js';
import { fileError } from '../io/node/file.js';
import { removeTemporaries } from '../io/node/temporary.js';
import { hintFor } from './hints.js';

/** Decimal units, as file managers and shops count: `23.4 MB`. Exact below 10 kB. */
export function bytes(n: number): string {
  if (n < 10_000) return `${n} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = n;
  let unit = -1;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toPrecision(3)} ${units[unit]}`;
}

/** `1,315,575,808` */
export function count(n: number): string {
  return n.toLocaleString('en-US');
}

/** A share as `65.72 %`; nothing where there is no whole that it is of. */
export function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(2)} %` : '';
}

/** Seconds as `9 s`, `3 min 20 s`, `1 h 5 min`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/**
 * A plain table: the first column left, the others right unless `align` says so. A row `null` is a rule. Cells may hold what stands in
 * files: each is one line, whatever is in it.
 */
export function table(
  head: readonly string[],
  given: readonly (readonly string[] | null)[],
  align: readonly ('left' | 'right')[] = head.map((_, i) => (i ? 'right' : 'left')),
): string {
  const rows = given.map((row) => row?.map(plainLine) ?? null);
  const chars = Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
      .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
      .map((key) => [key, '']),
  );
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => (row?.[i] ?? '').length)),
  );
  const rule = widths.map((width) => '-'.repeat(width));
  const lines = new CliTable({
    head: [...head],
    colAligns: [...align],
    chars: { ...chars, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  lines.push(rule, ...rows.map((row) => (row ? [...row] : rule)));
  return lines
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** How what is counted is printed. */
const UNITS: Readonly<Record<Progress['unit'], (n: number) => string>> = {
  bytes,
  weights: (n) => `${(n / 1e6).toFixed(1)} M weights`,
  tokens: (n) => `${count(Math.round(n))} tokens`,
  files: (n) => `${count(n)} files`,
  tensors: (n) => `${count(n)} tensors`,
};

/**
 * Runs what reports progress, with a bar on standard error for each of its stages: throughput and the time left. Nothing is shown when
 * that is not a terminal.
 */
export async function withBars<Result>(
  work: (onProgress: (progress: Progress) => void) => Promise<Result>,
): Promise<Result> {
  let shown: { readonly stage: string; readonly bar: Bar } | undefined;
  try {
    return await work((progress) => {
      if (!process.stderr.isTTY || !progress.total) return;
      if (shown?.stage !== progress.stage) {
        shown?.bar.stop();
        shown = { stage: progress.stage, bar: new Bar(progress) };
      }
      shown.bar.update(progress);
      if (progress.done < progress.total) return;
      shown.bar.stop();
      shown = undefined;
    });
  } finally {
    shown?.bar.stop();
  }
}

class Bar {
  private readonly started = performance.now();
  private readonly bar: SingleBar;

  constructor(progress: Progress) {
    const stage = plainLine(progress.stage).replaceAll(/[{}]/g, ' ');
    this.bar = new SingleBar(
      {
        format: `${stage} {bar} {percentage} %  {done} of {all}  {rate}/s  {left}`,
        barsize: 24,
        hideCursor: true,
        clearOnComplete: true,
        fps: 8,
        stream: process.stderr,
      },
      { barCompleteChar: '█', barIncompleteChar: '░', format: '' },
    );
    this.bar.start(progress.total, 0, this.payload(progress));
  }

  update(progress: Progress): void {
    this.bar.update(Math.min(progress.done, progress.total), this.payload(progress));
  }

  stop(): void {
    this.bar.stop();
  }

  private payload({ done, total, unit, secondsLeft }: Progress) {
    const seconds = (performance.now() - this.started) / 1000;
    const print = UNITS[unit];
    return {
      done: print(done),
      all: print(total),
      rate: print(Math.round(done / Math.max(seconds, 0.001))),
      left: secondsLeft === undefined ? '…' : `${duration(secondsLeft)} left`,
    };
  }
}

/** The one way results are printed for programs. */
export function printJson(value: unknown): void {
  process.stdout.write(`${plainJson(withoutSecrets(JSON.stringify(value, null, 2)))}\n`);
}

/** Standard output, a line. What comes from files in it cannot do anything to the terminal. */
export function print(line = ''): void {
  printText(`${line}\n`);
}

/** The same of text that is to stay one line, whatever a file says. */
export function printLine(line: string): void {
  print(plainLine(line));
}

/** As `print`, without a line's end. */
export function printText(text: string): void {
  process.stdout.write(plainText(withoutSecrets(text)));
}

/** Standard error, a line. */
export function printError(line: string): void {
  process.stderr.write(`${plainLine(withoutSecrets(line))}\n`);
}

NOTICES.say = (text) => printError(`weightpress: ${text}`);

/** Signals that end a run, what is said of them, and exit codes as shells count them: 128 and the signal's number. */
const SIGNALS = {
  SIGINT: { said: 'interrupted', code: 130 },
  SIGTERM: { said: 'ended by SIGTERM', code: 143 },
  SIGHUP: { said: 'ended by SIGHUP', code: 129 },
} as const;

/** What goes on from a file that is kept, by how its name ends. */
const GOES_ON: Readonly<Record<string, string>> = {
  partial: 'the same command with --resume goes on from',
  incomplete: 'the same command goes on with the download in',
  statistics: 'the same command begins with what was found, in',
};

/** Something that the program, not its input, is to blame for. */
const UNEXPECTED = 3;

/**
 * Runs the program. Bad input or usage becomes one line on standard error and exit code 2, anything else that goes wrong one line and
 * exit code 3, both without a stack. However it ends, nothing half-made is left that no later run could go on from.
 */
export async function run(program: Command, argv: readonly string[]): Promise<void> {
  let isOver = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // who reads no further, as head does, has what it wants
    if (error.code === 'EPIPE') {
      removeTemporaries();
      stop(0);
    }
    fail(fileError(error, 'standard output'));
  });
  process.stderr.on('error', () => {}); // there is nobody left to tell
  process.on('uncaughtException', fail); // of promises that nobody waits for, too
  for (const [signal, { said, code }] of Object.entries(SIGNALS))
    process.on(signal, () => {
      stop(code, said + leftBehind());
    });
  process.on('exit', () => {
    if (isOver || process.exitCode !== undefined) return;
    process.exitCode = say(new Error('nothing more will happen, and the work is not done'), leftBehind());
  });
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else process.exitCode = say(error);
  }
  isOver = true;
}

function fail(error: unknown): never {
  process.exit(say(error, leftBehind()));
}

/** Removes what is half-made. @returns what is to be said of the rest. */
function leftBehind(): string {
  const kept = removeTemporaries().map((path) => `; ${GOES_ON[path.split('.').at(-1)!]} ${path}`);
  return kept.join('');
}

function stop(code: number, said?: string): never {
  if (said !== undefined) {
    if (process.stderr.isTTY) process.stderr.write('\n'); // a progress bar may stand on the line
    printError(`weightpress: ${said}`);
  }
  process.exit(code);
}

/** Says in one line what went wrong. @returns the exit code. */
function say(error: unknown, more = ''): number {
  const known = fileError(error, (error as NodeJS.ErrnoException).path ?? 'output');
  const isInput = isInputError(known);
  const { message, stack } = known instanceof Error ? known : new Error(String(known));
  const hint = isInput ? hintFor(known) : '';
  printError(`weightpress: ${isInput ? '' : 'unexpected: '}${message}${hint}${more}`);
  if (process.env.WEIGHTPRESS_DEBUG === '1') process.stderr.write(withoutSecrets(`${stack}\n`));
  return isInput ? 2 : UNEXPECTED;
}
