import { type Command, CommanderError } from 'commander';
import { isInputError } from '../core/errors.js';
import { NOTICES } from '../core/notices.js';
import { plainJson, plainLine, plainText } from '../core/plain-text.js';
import { redactSecrets } from '../core/secrets.js';
import { fileError } from '../io/node/file.js';
import { removeTemporaries } from '../io/node/temporary.js';
import { colored } from './colors.js';
import { hintFor } from './hints.js';

/** What is printed beside results. Set by the options of the command line before the command runs. */
export const VERBOSITY = {
  /** Results and errors only. */
  quiet: false,
  /** Stages with their seconds, and the stack of an error. */
  verbose: false,
};

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

/** Prints one line on standard error, in place of a line of progress. */
export function printError(line: string, prefix = ''): void {
  const erase = process.stderr.isTTY ? '\r\x1b[K' : '';
  process.stderr.write(`${erase}${prefix}${plainLine(redactSecrets(line))}\n`);
}

/** Prints one line on standard error that says what is wrong. */
export function printFailure(message: string): void {
  printError(message, `${colored('red', 'weightpress', process.stderr)}: `);
}

/** Prints one line on standard error that is neither a result nor an error, unless `--quiet` is given. */
export function printNotice(line: string): void {
  if (!VERBOSITY.quiet) printError(`weightpress: ${line}`);
}

NOTICES.show = printNotice;

/** Signals that end a run, their messages, and the exit codes of shells: 128 plus the signal's number. */
const SIGNALS = {
  SIGINT: { message: 'interrupted', code: 130 },
  SIGTERM: { message: 'stopped by SIGTERM', code: 143 },
  SIGHUP: { message: 'stopped by SIGHUP', code: 129 },
} as const;

/** What ends a server gently; undefined where nothing has to be ended. */
let ending: (() => Promise<void>) | undefined;

/** Lets the first SIGINT or SIGTERM end a run by itself, with exit code 0, instead of at once. @param end is called then. */
export function onFirstSignal(end: () => Promise<void>): void {
  ending = end;
}

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
      if (!ending) stop(code, message + cleanUp());
      ending().catch(fail);
      ending = undefined;
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
  if (message !== undefined) printFailure(message);
  process.exit(code);
}

/** Prints an error as one line on standard error. @returns the exit code. */
function report(error: unknown, more = ''): number {
  const known = fileError(error, (error as NodeJS.ErrnoException).path ?? 'output');
  const isInput = isInputError(known);
  const { message, stack } = known instanceof Error ? known : new Error(String(known));
  const hint = isInput ? hintFor(known) : '';
  printFailure(`${isInput ? '' : 'unexpected: '}${message}${hint}${more}`);
  if (VERBOSITY.verbose || process.env.WEIGHTPRESS_DEBUG === '1')
    process.stderr.write(redactSecrets(`${stack}\n`));
  return isInput ? 2 : UNEXPECTED;
}
