import { InputError } from '../../core/errors.js';
import type { Goal } from './budget.js';

/** Message for a file that is lossless although its budget allows a loss. */
export const LOST_NOTHING = 'the file is lossless';

/** Returns the message for a file below its budget. @param value of the finished file. */
export function withinNote({ kind, limit }: Goal, value: number): string {
  if (kind === 'cosine')
    return `the budget allows a mean cosine of ${showCosine(limit)}; the smallest file found above it has ${showCosine(value)}`;
  return kind === 'kl'
    ? `the budget allows ${limit} nats per token; the smallest file found below it has ${value.toPrecision(4)}`
    : `the budget allows ${limit} bytes; the best file found below it has ${value}`;
}

/** Returns the message of what the base of a file loses by itself, on the same text: how much of the difference the file can hold there. */
export function baseNote({ kind }: Goal, loss: number): string {
  const alone =
    kind === 'cosine' ? `a mean cosine of ${showCosine(loss)}` : `${loss.toPrecision(4)} nats per token`;
  return `the base alone has ${alone} on this text: what it says of other text was not measured`;
}

/** Formats a cosine, given what it lacks to 1. */
const showCosine = (lacking: number) => (1 - lacking).toPrecision(6);

/** Returns the error for a budget of bytes that every candidate exceeds. @param bytes of the smallest, without the quality report. */
export function cannotMeet({ limit, originalBytes, reportBytes }: Goal, bytes: number): InputError {
  const ratio = (originalBytes / bytes).toPrecision(4);
  const report = reportBytes ? `, and at most ${reportBytes} more for its measured quality` : '';
  return new InputError(
    `the budget of ${limit} bytes cannot be met; the nearest that can is ${bytes} bytes, a ratio of ${ratio}${report}`,
  );
}
