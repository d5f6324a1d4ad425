/**
 * How long a text may take to be tokenized or put together again: a pattern of tokenizer.json can be made to try for ever. Where code
 * can be stopped it is; pages cannot stop their own thread.
 */
export const DEADLINE = {
  firstMs: 10_000,
  msPerMegabyte: 10_000,
  /** Does the work within so many milliseconds. @throws {TooLate} */
  run: <Result>(work: () => Result, _mostMs: number): Result => work(),
};

/** Work that was stopped. */
export class TooLate extends Error {}

/** The same for work on so many bytes or characters. @param late makes the error of what did not come to an end. */
export function inTime<Result>(length: number, work: () => Result, late: (seconds: number) => Error): Result {
  const mostMs = DEADLINE.firstMs + Math.ceil((length / 1e6) * DEADLINE.msPerMegabyte);
  try {
    return DEADLINE.run(work, mostMs);
  } catch (error) {
    throw error instanceof TooLate ? late(mostMs / 1000) : error;
  }
}
