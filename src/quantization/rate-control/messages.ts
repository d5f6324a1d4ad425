import { InputError } from '../../core/errors.js';
import type { Goal } from './budget.js';

/** Said of a file that loses nothing although something was allowed. */
export const LOST_NOTHING = 'the file is lossless';

/** Returns what is said where a budget is not used up. */
export function withinNote({ kind, max }: Goal, value: number): string {
  return kind === 'kl'
    ? `the budget allows ${max} nats per token; the smallest file within it that was found has ${value.toPrecision(4)}`
    : `the budget allows ${max} bytes; the best file within it that was found has ${value}`;
}

/** Returns the error for a budget below every candidate's value. */
export function cannotMeet({ kind, max, originalBytes }: Goal, value: number): InputError {
  const nearest =
    kind === 'kl'
      ? `${value.toPrecision(4)} nats`
      : `${value} bytes, a ratio of ${(originalBytes / value).toPrecision(4)}`;
  return new InputError(
    `the budget of ${max} ${kind === 'kl' ? 'nats' : 'bytes'} cannot be met; the nearest that can is ${nearest}`,
  );
}
