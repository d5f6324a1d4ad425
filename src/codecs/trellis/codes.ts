import { type BitCoder, IntegerModel } from './arithmetic.js';

/**
 * Side information of the rows of a block, or of the columns of a tensor.
 * Steps are 2^(step / 4) times the scale (`stepSizes`); a weight's context is the sum of its row's and its column's.
 */
export interface Codes {
  readonly steps: Int16Array;
  readonly contexts: Int16Array;
  /** -128 to 127 each; only if the tensor has factors on this side, see `factorsOf`. */
  readonly factors?: Int8Array | undefined;
}

/** Maximum magnitude of a step code: steps are from 2^-64 to 2^64. */
export const STEP_CODE_LIMIT = 256;

/** Maximum magnitude of the context of a row or a column. Their sum is clamped to the range of contexts. */
export const CONTEXT_LIMIT = 1024;

/** Returns the factors of codes, 1 + range * code / 128: the same float32 on every machine. */
export function factorsOf(codes: Int8Array, range: number): Float32Array {
  return Float32Array.from(codes, (code) => 1 + (range * code) / 128);
}

/** Returns the codes nearest to `factors`, which should be from 1 - range to 1 + range. */
export function factorCodes(factors: ArrayLike<number>, range: number): Int8Array {
  return Int8Array.from(factors, (factor) =>
    Math.min(127, Math.max(-128, Math.round(((factor - 1) / range) * 128))),
  );
}

/**
 * Encodes the codes of `count` rows or columns, or decodes them and ignores `codes`.
 * Besides the step it codes the sum of step and context: this is the spread of the weights, which does not depend on the
 * step and varies little. Both are coded as differences from their median, factors as they are.
 * @throws {RangeError} for a code out of range.
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
      `expected codes of ${count} rows or columns${hasFactors ? ' with factors' : ''}, found ${lengths}`,
    );
  for (const [values, limit, what] of [
    [steps, STEP_CODE_LIMIT, 'step'],
    [contexts, CONTEXT_LIMIT, 'context'],
  ] as const) {
    const beyond = values.find((value) => Math.abs(value) > limit);
    if (beyond !== undefined) throw new RangeError(`${what} code ${beyond} is not in -${limit}..${limit}`);
  }
}
