import { gaussianDistortion } from '../codecs/transform/compaction.js';
import { consistency } from './consistency.js';
import { type Claim, type Rate, rateOf } from './rate.js';
import { contradicted, type Statement, show, supported, unknown } from './verdict.js';
import { type Part, waterFilling } from './water-filling.js';

/** What is known of a model that a claim is about. */
export interface Known {
  /** Parts of the model with weights of one variance each: the least error follows by reverse water-filling. */
  readonly parts?: readonly Part[];
  /** Bits a weight that a lossless code of these weights takes, as measured. */
  readonly losslessBits?: number;
}

/** Checks a claim's numbers against each other and against what any code can do. */
export function checkClaim(claim: Claim, known: Known = {}): Statement[] {
  return [...consistency(claim), ...quality(claim, known)];
}

function quality(claim: Claim, { parts, losslessBits }: Known): Statement[] {
  const { lossless, relativeError, kl } = claim;
  const rate = rateOf(claim);
  if (!rate)
    return [
      lossless && 'no loss',
      relativeError !== undefined && 'a relative error',
      kl !== undefined && 'a divergence',
    ].flatMap((what) =>
      what ? [unknown(what, 'no rate is known without bytes and parameters, bits, or a ratio')] : [],
    );
  const bound = boundOf(parts);
  const statements = [
    ...(lossless ? [exactness(claim, rate, losslessBits)] : []),
    ...(relativeError !== undefined ? [closeness(relativeError, rate, bound)] : []),
    ...(kl !== undefined ? [divergence(kl, rate, bound)] : []),
  ];
  if (statements.length) return statements;
  const lost = show(bound.least(rate.bits) * 100);
  return [unknown('a model of use is left', `${bound.arithmetic(rate)}: ${lost} % of the energy is lost`)];
}

interface Bound {
  /** The least relative squared error at a rate. */
  least(bits: number): number;
  arithmetic(rate: Rate): string;
}

function boundOf(parts: Known['parts']): Bound {
  const least = (bits: number) => (parts ? waterFilling(parts, bits) : gaussianDistortion(bits));
  const arithmetic = ({ bits, arithmetic }: Rate) =>
    parts
      ? `${arithmetic}; the least relative squared error of Gaussian weights with the measured variances is ${show(least(bits))}`
      : `${arithmetic}; the least relative squared error of Gaussian weights is 2^(-2 x ${show(bits)}) = ${show(least(bits))}`;
  return { least, arithmetic };
}

/** Bits a weight that trained weights took losslessly, as measured: sign and low mantissa bits are noise, exponents take some 2.5 bits. */
const USUAL_LOSSLESS: Readonly<Record<string, number>> = { bf16: 10.5, f16: 13.5, f32: 26.5 };
/** Below this no trained weights have been seen, in whatever type they were stored. */
const MIN_LOSSLESS = 9.5;
/** How far below a measured or usual rate another lossless code may come. */
const BETTER_CODE = 0.97;

function exactness({ original, originalBits = 32 }: Claim, rate: Rate, measured?: number): Statement {
  const { bits, arithmetic } = rate;
  const claim = `no loss at ${show(bits)} bits a weight`;
  if (measured !== undefined) {
    const because = `${arithmetic}; these weights take ${show(measured)}, as measured`;
    return (bits >= measured * BETTER_CODE ? supported : contradicted)(claim, because);
  }
  if (bits < MIN_LOSSLESS && bits < originalBits)
    return contradicted(claim, `${arithmetic}; trained weights take ${MIN_LOSSLESS} at least`);
  const type = original ?? { 16: 'bf16', 32: 'f32' }[originalBits];
  const usual = type === undefined ? undefined : USUAL_LOSSLESS[type];
  if (usual === undefined)
    return unknown(claim, `${arithmetic}; what weights of ${show(originalBits)} bits take is not known`);
  const because = `${arithmetic}; trained weights in ${type} take ${usual}`;
  return bits >= usual * BETTER_CODE
    ? supported(claim, `${because}: possible`)
    : unknown(
        claim,
        `${because}${type === 'bf16' ? '' : `, though ${type} that holds numbers of fewer bits takes less, ${USUAL_LOSSLESS.bf16} if of bf16`}`,
      );
}

/** Rates are rounded as well. */
const RATE_ROUNDING = 1.02;
/**
 * Weights need some fewer bits than Gaussian ones for the same error: 0.1 where they are Laplacian (their entropy power is e/pi of
 * their variance), some more where variances differ within what counts as one part.
 */
const GRACE_BITS = 0.25;

function closeness(error: number, rate: Rate, bound: Bound): Statement {
  const claim = `a relative squared error of ${show(error)}`;
  const because = bound.arithmetic(rate);
  if (error >= bound.least(rate.bits * RATE_ROUNDING)) return supported(claim, `${because}: possible`);
  if (error < bound.least(rate.bits + GRACE_BITS)) return contradicted(claim, because);
  return unknown(claim, `${because}; weights that are not Gaussian may need up to ${GRACE_BITS} bits less`);
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
/** Models differ by so much. */
const GRACE = 0.7;

function divergence(kl: number, rate: Rate, bound: Bound): Statement {
  const { bits } = rate;
  const claim = `a divergence of ${show(kl)} nats at ${show(bits)} bits a weight`;
  const arithmetic = bound.arithmetic(rate);
  if (bound.least(bits) > HOPELESS && kl < SMALL_KL)
    return contradicted(claim, `${arithmetic}: more than half of the energy is lost at best`);
  const usual = measuredAt(bits);
  const comparison = `weightpress measured ${show(usual)} nats at this rate on a small model`;
  if (kl >= usual * GRACE) return supported(claim, `${arithmetic}; possible: ${comparison}`);
  return unknown(claim, `${arithmetic}; ${comparison}, which larger ones may stay below`);
}

/** On the line of log KL over bits through the two points around, or the two nearest. */
function measuredAt(bits: number): number {
  const next = MEASURED.findIndex(([rate]) => rate >= bits);
  const upper = Math.min(MEASURED.length - 1, Math.max(1, next < 0 ? MEASURED.length - 1 : next));
  const [[a, low], [b, high]] = [MEASURED[upper - 1]!, MEASURED[upper]!];
  return low * (high / low) ** ((bits - a) / (b - a));
}
