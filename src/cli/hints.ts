import type { ErrorCode, InputError } from '../core/errors.js';

/** The flags that help, by an error's code. */
const HINTS: Readonly<Record<ErrorCode, string>> = {
  exists: '--force replaces it',
  'needs-text': '--calibrate names one',
  'cannot-calibrate':
    '--no-calibration needs neither, and measures no loss: with --bits, --size or --ratio, or quantize --to',
  resumable: 'the same command with --resume goes on',
  'resume-differs': 'start over without --resume',
  'unsupported-file': 'use --exclude to leave it out',
  'several-states': 'choose one with --state',
  expansion: '--max-expansion allows more',
  'needs-base': 'name the base with --base',
  'needs-token': '--token or WEIGHTPRESS_TOKEN gives one',
  'no-gguf-family':
    'weightpress quantize --names checkpoint writes a file that can be measured, but not run by llama.cpp',
};

/** Returns what the command line adds to an error's message: the flag that helps; empty where none does. */
export function hintFor({ code }: InputError): string {
  return code === undefined ? '' : `; ${HINTS[code]}`;
}
