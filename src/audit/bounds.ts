import { gaussianDistortion } from '../codec/transform/compaction.js';
import { contradicted, judge, type Statement, show, supported, unknown } from './verdict.js';

/** What a claim says in numbers; what it leaves out is undefined. */
export interface Claim {
  readonly parameters?: number | undefined;
  /** Of the compressed artefact. */
  readonly bytes?: number | undefined;
  /** Numbers that are kept, of {@link valueBits} each where that is said. */
  readonly values?: number | undefined;
  readonly valueBits?: number | undefined;
  /** Original over compressed. */
  readonly ratio?: number | undefined;
  /** Bits a weight of the original. */
  readonly originalBits?: number | undefined;
  readonly lossless?: boolean | undefined;
  readonly relativeError?: number | undefined;
  readonly kl?: number | undefined;
}

/** What is known of a model that a claim is about. */
export interface Known {
  /** Parts of the model with weights of one variance each: the least error follows by reverse water-filling. */
  readonly parts?: readonly { readonly weights: number; readonly variance: number }[];
  /** Bits a weight that a lossless code of these weights takes, as measured. */
  readonly losslessBits?: number;
}

/**
 * What trained weights take losslessly at least, bits a weight by bits stored: sign and low mantissa bits are noise, exponents take some
 * 2.5 bits (docs/codec.md: 10.5, 13.5 and 26.5 measured). Claims have a bit's grace below that.
 */
const LEAST_LOSSLESS: Readonly<Record<number, number>> = { 16: 9.5, 32: 25 };

/** A tenth of nothing: claims are rounded. */
const ROUNDING = 0.02;

/** Checks a claim's numbers against each other and against what any code can do. */
export function checkClaim(claim: Claim, known: Known = {}): Statement[] {
  return [...counts(claim), ...rates(claim, known)];
}

function counts({ parameters, bytes, values, valueBits, ratio, originalBits = 32 }: Claim): Statement[] {
  const statements: Statement[] = [];
  const near = (a: number, b: number) => Math.abs(a / b - 1) <= ROUNDING;
  if (ratio !== undefined && parameters !== undefined) {
    const claimed = `a ratio of ${show(ratio)}:1`;
    const byBytes = bytes === undefined ? undefined : (parameters * originalBits) / 8 / bytes;
    const byCount = values === undefined ? undefined : parameters / values;
    if (byBytes !== undefined && near(ratio, byBytes))
      statements.push(
        supported(
          claimed,
          `${show(parameters)} x ${originalBits / 8} bytes / ${show(bytes!)} = ${show(byBytes)}`,
        ),
      );
    else if (byCount !== undefined && near(ratio, byCount)) {
      statements.push(
        supported(
          claimed,
          `as one of counts: ${show(parameters)} parameters / ${show(values!)} values = ${show(byCount)}`,
        ),
      );
      if (byBytes !== undefined)
        statements.push(
          judge(
            false,
            `${claimed} of bytes`,
            `${show(parameters)} x ${originalBits / 8} bytes / ${show(bytes!)} = ${show(byBytes)}`,
          ),
        );
    } else if (byBytes !== undefined || byCount !== undefined)
      statements.push(contradicted(claimed, `the other numbers give ${show((byBytes ?? byCount)!)}:1`));
  }
  if (values !== undefined && bytes !== undefined) {
    const each = (bytes * 8) / values;
    const claimed = `${show(values)} values in ${show(bytes)} bytes`;
    const needed = valueBits ?? 1;
    statements.push(
      judge(
        each >= needed * (1 - ROUNDING),
        claimed,
        `${show(each)} bits a value${valueBits ? `, ${valueBits} as they are said to be stored` : ''}`,
      ),
    );
  }
  return statements;
}

function rates(
  { parameters, bytes, ratio, originalBits = 32, lossless, relativeError, kl }: Claim,
  known: Known,
): Statement[] {
  const size = bytes ?? (ratio && parameters && (parameters * originalBits) / 8 / ratio);
  if (!size || !parameters) {
    const quality = [
      lossless && 'no loss',
      relativeError !== undefined && 'a relative error',
      kl !== undefined && 'a divergence',
    ].filter(Boolean);
    return quality.map((what) => unknown(String(what), 'without parameters and bytes no rate is known'));
  }
  const bits = (size * 8) / parameters;
  const rate = `${show(size)} bytes x 8 / ${show(parameters)} = ${show(bits)} bits a weight`;
  const gaussian = gaussianDistortion(bits);
  const least = known.parts ? waterFilling(known.parts, bits) : gaussian;
  const bound = known.parts
    ? `the least relative squared error of Gaussian weights with the measured variances is ${show(least)}`
    : `the least relative squared error of Gaussian weights is 2^(-2 x ${show(bits)}) = ${show(least)}`;
  const statements: Statement[] = [];
  if (lossless) {
    const needed = known.losslessBits ? known.losslessBits * 0.97 : LEAST_LOSSLESS[originalBits];
    const claim = `no loss at ${show(bits)} bits a weight`;
    if (needed === undefined)
      statements.push(unknown(claim, `nothing is known of weights of ${originalBits} bits`));
    else
      statements.push(
        judge(
          bits >= needed,
          claim,
          `${rate}; trained weights of ${originalBits} bits take ${show(needed)} at least${known.losslessBits ? ', measured on these' : ''}`,
        ),
      );
  }
  if (relativeError !== undefined)
    statements.push(
      judge(
        relativeError >= least * (1 - ROUNDING),
        `a relative squared error of ${show(relativeError)}`,
        `${rate}; ${bound}`,
      ),
    );
  if (kl !== undefined) statements.push(divergence(kl, bits, `${rate}; ${bound}`, least));
  if (!statements.length)
    statements.push(
      unknown('a model of use is left', `${rate}; ${bound}: ${show(least * 100)} % of the energy is lost`),
    );
  return statements;
}

/** Bits a weight and divergence that this project measured on a model of 5.8 M weights (docs/quality.md); larger ones need fewer bits. */
const MEASURED: readonly (readonly [bits: number, kl: number])[] = [
  [1.3, 0.169],
  [1.75, 0.0615],
  [2.5, 0.0154],
  [3, 0.0067],
  [3.7, 0.0022],
  [4.6, 0.00059],
];
/** Where so much of the energy is gone, nothing behaves like the model. */
const HOPELESS = 0.5;
const SMALL_KL = 0.5;

function divergence(kl: number, bits: number, arithmetic: string, least: number): Statement {
  const claim = `a divergence of ${show(kl)} nats at ${show(bits)} bits a weight`;
  if (least > HOPELESS && kl < SMALL_KL)
    return contradicted(claim, `${arithmetic}: more than half of every matrix is lost at best`);
  const usual = measuredAt(bits);
  const comparison = `weightpress measured ${show(usual)} nats at this rate on a small model`;
  if (kl >= usual * GRACE) return supported(claim, `${arithmetic}; possible: ${comparison}`);
  return unknown(claim, `${arithmetic}; ${comparison}, which larger ones may stay below`);
}

/** Models differ by so much. */
const GRACE = 0.7;

/** On the line of log KL over bits through the two points around, or the two nearest. */
function measuredAt(bits: number): number {
  const next = MEASURED.findIndex(([rate]) => rate >= bits);
  const upper = Math.min(MEASURED.length - 1, Math.max(1, next < 0 ? MEASURED.length - 1 : next));
  const [[a, low], [b, high]] = [MEASURED[upper - 1]!, MEASURED[upper]!];
  return low * (high / low) ** ((bits - a) / (b - a));
}

/**
 * The least relative squared error at an average rate, for independent Gaussian weights of several variances: parts below the water
 * level get no bits (Cover and Thomas, theorem 10.3.3).
 */
export function waterFilling(parts: NonNullable<Known['parts']>, bitsPerWeight: number): number {
  const weights = parts.reduce((sum, part) => sum + part.weights, 0);
  const rate = (level: number) =>
    parts.reduce(
      (sum, { weights: n, variance }) => sum + (variance > level ? (n * Math.log2(variance / level)) / 2 : 0),
      0,
    ) / weights;
  let [low, high] = [1e-40, Math.max(...parts.map(({ variance }) => variance), 1e-39)];
  for (let i = 0; i < 200; i++) {
    const middle = Math.sqrt(low * high);
    if (rate(middle) > bitsPerWeight) low = middle;
    else high = middle;
  }
  const energy = parts.reduce((sum, { weights: n, variance }) => sum + n * variance, 0);
  const error = parts.reduce((sum, { weights: n, variance }) => sum + n * Math.min(variance, high), 0);
  return energy > 0 ? error / energy : 0;
}
