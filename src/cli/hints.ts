import type { ErrorCode, InputError } from '../core/errors.js';

/** The flags that help, by an error's code. */
const HINTS: Readonly<Record<ErrorCode, string>> = {
  exists: '--force replaces it',
  'needs-text': '--calibrate names one',
  'cannot-calibrate': '--no-calibration with --bits, --size or --ratio needs neither, and measures no loss',
  resumable: 'the same command with --resume goes on',
  'resume-differs': 'start over without --resume',
  'unsupported-file': 'use --exclude to leave it out',
  'several-states': 'choose one with --state',
  expansion: '--max-expansion allows more',
  'needs-token': '--token or WEIGHTPRESS_TOKEN gives one',
};

/** Returns what the command line adds to an error's message: the flag that helps; empty where none does. */
export function hintFor({ code }: InputError): string {
  return code === undefined ? '' : `; ${HINTS[code]}`;
}
