import { SingleBar } from 'cli-progress';
import CliTable from 'cli-table3';
import { type Command, CommanderError } from 'commander';
import { isInputError } from '../core/errors.js';
import { NOTICES } from '../core/notices.js';
import { plainJson, plainLine, plainText } from '../core/plain-text.js';
import type { Progress } from '../core/progress.js';
import { redactSecrets } from '../core/secrets.js';
import { fileError } from '../io/node/file.js';
import { removeTemporaries } from '../io/node/temporary.js';
import { hintFor } from './hints.js';

/** Formats bytes in decimal units: `23.4 MB`. Exact below 10 kB. */
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

/** Formats a number with thousands separators: `1,315,575,808`. */
export function count(n: number): string {
  return n.toLocaleString('en-US');
}

/** Formats a share as `65.72 %`; empty for a share of nothing (NaN). */
export function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(2)} %` : '';
}

/** Formats seconds as `9 s`, `3 min 20 s`, `1 h 5 min`. */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/**
 * Formats a plain table. The first column is left-aligned, the others right-aligned, unless `align` says otherwise. A row `null` is a
 * rule. Cells may hold text from files: each is reduced to one harmless line.
 */
export function table(
  head: readonly string[],
  body: readonly (readonly string[] | null)[],
  align: readonly ('left' | 'right')[] = head.map((_, i) => (i ? 'right' : 'left')),
): string {
  const rows = body.map((row) => row?.map(plainLine) ?? null);
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

/** Prints a result as JSON on standard output. */
export function printJson(value: unknown): void {
  process.stdout.write(`${plainJson(redactSecrets(JSON.stringify(value, null, 2)))}\n`);
}

/** Prints text and a line break on standard output. Control characters from files are made harmless. */
export function print(line = ''): void {
  printText(`${line}\n`);
}

/** Prints text as one line, whatever line breaks are in it. */
export function printLine(line: string): void {
  print(plainLine(line));
}

/** Prints text like {@link print}, without a line break. */
export function printText(text: string): void {
  process.stdout.write(plainText(redactSecrets(text)));
}

/** Prints one line on standard error. */
export function printError(line: string): void {
  process.stderr.write(`${plainLine(redactSecrets(line))}\n`);
}

NOTICES.show = (text) => printError(`weightpress: ${text}`);

/** Signals that end a run, their messages, and the exit codes of shells: 128 plus the signal's number. */
const SIGNALS = {
  SIGINT: { message: 'interrupted', code: 130 },
  SIGTERM: { message: 'stopped by SIGTERM', code: 143 },
  SIGHUP: { message: 'stopped by SIGHUP', code: 129 },
} as const;

/** How to continue from a file that remains, by the extension of its name. */
const HOW_TO_CONTINUE: Readonly<Record<string, string>> = {
  partial: 'to continue, run the same command with --resume; partial output:',
  incomplete: 'to continue, run the same command; partial download:',
  statistics: 'the same command reuses the saved statistics:',
};

/** Exit code of errors that are not the input's fault. */
const UNEXPECTED = 3;

/**
 * Runs the program. Bad input or usage becomes one line on standard error and exit code 2, any other error one line and exit code 3,
 * both without a stack trace. However it ends, the only partial files left are those that a later run can continue from.
 */
export async function run(makeProgram: () => Promise<Command>, argv: readonly string[]): Promise<void> {
  let isOver = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // the reader, such as head, has closed the pipe: it has what it wants
    if (error.code === 'EPIPE') {
      removeTemporaries();
      stop(0);
    }
    fail(fileError(error, 'standard output'));
  });
  process.stderr.on('error', () => {}); // nowhere left to report to
  process.on('uncaughtException', fail); // includes unhandled rejections
  for (const [signal, { message, code }] of Object.entries(SIGNALS))
    process.on(signal, () => {
      stop(code, message + cleanUp());
    });
  process.on('exit', () => {
    if (isOver || process.exitCode !== undefined) return;
    process.exitCode = report(new Error('stopped before the work was done'), cleanUp());
  });
  try {
    const program = await makeProgram();
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else process.exitCode = report(error);
  }
  isOver = true;
}

function fail(error: unknown): never {
  process.exit(report(error, cleanUp()));
}

/** Removes partial files. @returns a message about those that remain because a later run can use them. */
function cleanUp(): string {
  const remaining = removeTemporaries();
  if (remaining.some((path) => path.endsWith('.trials')))
    return `; to continue, run the same command with --resume, which needs ${remaining.join(', ')}`;
  return remaining.map((path) => `; ${HOW_TO_CONTINUE[path.split('.').at(-1)!]} ${path}`).join('');
}

function stop(code: number, message?: string): never {
  if (message !== undefined) {
    if (process.stderr.isTTY) process.stderr.write('\n'); // the cursor may be behind a progress bar
    printError(`weightpress: ${message}`);
  }
  process.exit(code);
}

/** Prints an error as one line on standard error. @returns the exit code. */
function report(error: unknown, more = ''): number {
  const known = fileError(error, (error as NodeJS.ErrnoException).path ?? 'output');
  const isInput = isInputError(known);
  const { message, stack } = known instanceof Error ? known : new Error(String(known));
  const hint = isInput ? hintFor(known) : '';
  printError(`weightpress: ${isInput ? '' : 'unexpected: '}${message}${hint}${more}`);
  if (process.env.WEIGHTPRESS_DEBUG === '1') process.stderr.write(redactSecrets(`${stack}\n`));
  return isInput ? 2 : UNEXPECTED;
}
