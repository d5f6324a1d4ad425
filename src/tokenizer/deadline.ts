/**
 * Time limit of tokenizing and decoding, since a regular expression in tokenizer.json may backtrack endlessly. Node enforces it; pages
 * cannot interrupt their own thread.
 */
export const DEADLINE = {
  firstMs: 10_000,
  msPerMegabyte: 10_000,
  /** Calls a function with a time limit. @throws {TooLate} */
  run: <Result>(action: () => Result, _maxMs: number): Result => action(),
};

/** The time limit was exceeded. */
export class TooLate extends Error {}

/** Calls a function with a time limit for `length` bytes or characters. @param timeout creates the error when the limit is exceeded. */
export function withDeadline<Result>(
  length: number,
  action: () => Result,
  timeout: (seconds: number) => Error,
): Result {
  const maxMs = DEADLINE.firstMs + Math.ceil((length / 1e6) * DEADLINE.msPerMegabyte);
  try {
    return DEADLINE.run(action, maxMs);
  } catch (error) {
    throw error instanceof TooLate ? timeout(maxMs / 1000) : error;
  }
}
