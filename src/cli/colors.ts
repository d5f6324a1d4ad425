import type { WriteStream } from 'node:tty';
import { plainLine } from '../core/plain-text.js';
import { redactSecrets } from '../core/secrets.js';

const CODES = { red: 31, green: 32, yellow: 33 } as const;

export type Color = keyof typeof CODES;

/** Prints one line on standard output whose first words are a verdict, in color where the terminal has it. */
export function printVerdict(color: Color, verdict: string, rest = ''): void {
  const line = (text: string) => plainLine(redactSecrets(text));
  process.stdout.write(`${colored(color, line(verdict))}${line(rest)}\n`);
}

/** Returns text in a color, unless the stream shows none: a file or pipe, `NO_COLOR`, or `TERM=dumb`. `FORCE_COLOR` insists. */
export function colored(color: Color, text: string, stream: WriteStream = process.stdout): string {
  return hasColors(stream) ? `\x1b[${CODES[color]}m${text}\x1b[39m` : text;
}

function hasColors({ isTTY }: WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  return FORCE_COLOR ? FORCE_COLOR !== '0' : isTTY && TERM !== 'dumb';
}
