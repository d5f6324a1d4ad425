import { InputError } from '../../core/errors.js';
import type { Goal } from './budget.js';

/** Said of a file that loses nothing although something was allowed. */
export const LOST_NOTHING = 'the file is lossless';

/** Returns what is said where a budget is not used up. @param value of the finished file. */
export function withinNote({ kind, limit }: Goal, value: number): string {
  return kind === 'kl'
    ? `the budget allows ${limit} nats per token; the smallest file within it that was found has ${value.toPrecision(4)}`
    : `the budget allows ${limit} bytes; the best file within it that was found has ${value}`;
}

/** Returns the error for a budget of bytes below every candidate's. @param bytes of the smallest, without its measured quality. */
export function cannotMeet({ limit, originalBytes, reportBytes }: Goal, bytes: number): InputError {
  const ratio = (originalBytes / bytes).toPrecision(4);
  const report = reportBytes ? `, and at most ${reportBytes} more for its measured quality` : '';
  return new InputError(
    `the budget of ${limit} bytes cannot be met; the nearest that can is ${bytes} bytes, a ratio of ${ratio}${report}`,
  );
}
