import { InputError } from '../../core/errors.js';
import type { Goal } from './budget.js';

/** Message for a file that is lossless although its budget allows a loss. */
export const LOST_NOTHING = 'the file is lossless';

/** Returns the message for a file below its budget. */
export function withinNote({ kind, max }: Goal, value: number): string {
  return kind === 'kl'
    ? `the budget allows ${max} nats per token; the smallest file found below it has ${value.toPrecision(4)}`
    : `the budget allows ${max} bytes; the best file found below it has ${value}`;
}

/** Returns the error for a budget that every candidate exceeds. */
export function cannotMeet({ kind, max, originalBytes }: Goal, value: number): InputError {
  const nearest =
    kind === 'kl'
      ? `${value.toPrecision(4)} nats`
      : `${value} bytes, a ratio of ${(originalBytes / value).toPrecision(4)}`;
  return new InputError(
    `the budget of ${max} ${kind === 'kl' ? 'nats' : 'bytes'} cannot be met; the nearest that can is ${nearest}`,
  );
}
