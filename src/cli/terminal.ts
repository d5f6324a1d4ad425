import { SingleBar } from 'cli-progress';
import CliTable from 'cli-table3';
import { type Command, CommanderError } from 'commander';
import { isInputError } from '../errors.js';
import { fileError } from '../io/file.js';
import { NOTICES } from '../notices.js';
import { plainJson, plainLine, plainText } from '../plain-text.js';
import { withoutSecrets } from '../secrets.js';

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

export interface Progress {
  /** @param secondsLeft of a longer run that this is a part of, where that is known. */
  update(done: number, secondsLeft?: number): void;
  stop(): void;
}

/** A progress bar on standard error with throughput and time left; nothing when that is not a terminal. */
export function progress(label: string, total: number, unit: (n: number) => string = bytes): Progress {
  if (!process.stderr.isTTY || total === 0) return { update() {}, stop() {} };
  const started = performance.now();
  const bar = new SingleBar(
    {
      format: `${plainLine(label).replaceAll(/[{}]/g, ' ')} {bar} {percentage} %  {done} of {all}  {rate}/s  {left}`,
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      fps: 8,
      stream: process.stderr,
    },
    { barCompleteChar: '█', barIncompleteChar: '░', format: '' },
  );
  const payload = (done: number, secondsLeft?: number) => {
    const seconds = (performance.now() - started) / 1000;
    const own = done > 0 && seconds > 0.5 ? (seconds / done) * (total - done) : undefined;
    const ofAll = secondsLeft === undefined ? undefined : `${duration(secondsLeft)} left in all`;
    return {
      done: unit(done),
      all: unit(total),
      rate: unit(Math.round(done / Math.max(seconds, 0.001))),
      left: ofAll ?? (own === undefined ? '…' : `${duration(own)} left`),
    };
  };
  bar.start(total, 0, payload(0));
  return {
    update: (done, secondsLeft) => bar.update(Math.min(done, total), payload(done, secondsLeft)),
    stop: () => bar.stop(),
  };
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

/** Says, when the user stops the program, that what is done is kept. @returns what ends the watch. */
export function whenInterrupted(message: string): () => void {
  const stop = () => {
    process.stderr.write(`\nweightpress: ${message}\n`);
    process.exit(130); // 128 + SIGINT, as shells count
  };
  process.once('SIGINT', stop);
  return () => process.removeListener('SIGINT', stop);
}

/** Runs the program; bad input or usage becomes one line on standard error and exit code 2, without a stack. */
export async function run(program: Command, argv: readonly string[]): Promise<void> {
  // who reads no further, as head does, has what it wants
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    const known = fileError(error, (error as NodeJS.ErrnoException).path ?? 'output');
    if (!isInputError(known)) throw error;
    process.stderr.write(`weightpress: ${known.message}\n`);
    process.exitCode = 2;
  }
}
