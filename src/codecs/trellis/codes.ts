import { type BitCoder, IntegerModel } from './arithmetic.js';

/**
 * What is known of every row of a block, or of every column of a tensor.
 * Steps are 2^(step / 4) times the scale (`stepSizes`); contexts of row and column add up.
 */
export interface Codes {
  readonly steps: Int16Array;
  readonly contexts: Int16Array;
  /** -128 to 127 each, when the tensor has factors on this side: see `factorsOf`. */
  readonly factors?: Int8Array | undefined;
}

/** Step codes are within this of zero: 2^-64 to 2^64. */
export const STEP_CODE_LIMIT = 256;

/** Contexts of a row or a column are within this of zero, and clamped once added. */
export const CONTEXT_LIMIT = 1024;

/** Factors of a side are off, or 1 + range * code / 128: a multiplication exact on every machine. */
export function factorsOf(codes: Int8Array, range: number): Float32Array {
  return Float32Array.from(codes, (code) => 1 + (range * code) / 128);
}

/** The codes nearest to `factors`, which should be within `range` of 1. */
export function factorCodes(factors: ArrayLike<number>, range: number): Int8Array {
  return Int8Array.from(factors, (factor) =>
    Math.min(127, Math.max(-128, Math.round(((factor - 1) / range) * 128))),
  );
}

/**
 * Codes of `count` rows or columns, or decodes them and ignores `codes`.
 * What is coded beside the step is the sum of step and context: it tells the spread of the weights, whatever the step,
 * and hardly varies. Both are told from their first, and factors from 0.
 * @throws {RangeError} on a code out of its bounds.
 */
export function codeCodes(coder: BitCoder, count: number, hasFactors: boolean, codes?: Codes): Codes {
  if (codes) checkCodes(codes, count, hasFactors);
  const steps = codeAll(coder, count, codes?.steps);
  const spreads = codeAll(
    coder,
    count,
    codes?.contexts.map((context, i) => context + codes.steps[i]!),
  );
  const contexts = spreads.map((spread, i) => spread - steps[i]!);
  const model = new IntegerModel();
  const factors = hasFactors
    ? Int16Array.from({ length: count }, (_, i) => model.code(coder, codes?.factors?.[i]))
    : undefined;
  const coded = { steps, contexts, factors: factors && Int8Array.from(factors) };
  if (!codes) checkCodes(coded, count, hasFactors);
  return coded;
}

function codeAll(coder: BitCoder, count: number, values?: Int16Array): Int16Array {
  const typical = new IntegerModel().code(coder, values ? median(values) : 0);
  const model = new IntegerModel();
  return Int16Array.from(
    { length: count },
    (_, i) => typical + model.code(coder, (values?.[i] ?? typical) - typical),
  );
}

function median(values: Int16Array): number {
  return values.toSorted()[values.length >> 1]!;
}

function checkCodes({ steps, contexts, factors }: Codes, count: number, hasFactors: boolean): void {
  const lengths = [steps.length, contexts.length, factors?.length ?? count];
  if (lengths.some((length) => length !== count) || hasFactors !== Boolean(factors))
    throw new RangeError(
      `codes of ${lengths} rows or columns, not ${count}${hasFactors ? ' with factors' : ''}`,
    );
  for (const [values, limit, what] of [
    [steps, STEP_CODE_LIMIT, 'step'],
    [contexts, CONTEXT_LIMIT, 'context'],
  ] as const) {
    const beyond = values.find((value) => Math.abs(value) > limit);
    if (beyond !== undefined) throw new RangeError(`a ${what} code of ${beyond}, not within ${limit} of 0`);
  }
}
