import { gaussianDistortion } from '../codecs/transform/compaction.js';
import { consistency } from './consistency.js';
import { type Claim, type Rate, rateOf } from './rate.js';
import { contradicted, type Statement, show, supported, unknown } from './verdict.js';
import { type Part, waterFilling } from './water-filling.js';

/** Measurements of the model that a claim is about. */
export interface Known {
  /** Parts of the model with equal variance, for the rate-distortion bound by reverse water-filling. */
  readonly parts?: readonly Part[];
  /** Measured lossless rate, in bits per weight. */
  readonly losslessBits?: number;
}

/** Checks a claim's numbers for consistency and against theoretical bounds. */
export function checkClaim(claim: Claim, known: Known = {}): Statement[] {
  return [...consistency(claim), ...quality(claim, known)];
}

function quality(claim: Claim, { parts, losslessBits }: Known): Statement[] {
  const { lossless, relativeError, kl } = claim;
  const rate = rateOf(claim);
  if (!rate)
    return [
      lossless && 'lossless',
      relativeError !== undefined && 'a relative squared error',
      kl !== undefined && 'a KL divergence',
    ].flatMap((what) =>
      what ? [unknown(what, 'the rate is unknown without bytes and parameters, bits, or a ratio')] : [],
    );
  const bound = boundOf(parts);
  const statements = [
    ...(lossless ? [exactness(claim, rate, losslessBits)] : []),
    ...(relativeError !== undefined ? [closeness(relativeError, rate, bound)] : []),
    ...(kl !== undefined ? [divergence(kl, rate, bound)] : []),
  ];
  if (statements.length) return statements;
  const lost = show(bound.error(rate.bits) * 100);
  return [unknown('the model remains usable', `${bound.arithmetic(rate)}: ${lost} % of the energy is lost`)];
}

interface Bound {
  /** Returns the minimum relative squared error at a rate. */
  error(bits: number): number;
  arithmetic(rate: Rate): string;
}

function boundOf(parts: Known['parts']): Bound {
  const error = (bits: number) => (parts ? waterFilling(parts, bits) : gaussianDistortion(bits));
  const arithmetic = ({ bits, arithmetic }: Rate) =>
    parts
      ? `${arithmetic}; the minimum relative squared error of Gaussian weights with the measured variances is ${show(error(bits))}`
      : `${arithmetic}; the minimum relative squared error of Gaussian weights is 2^(-2 x ${show(bits)}) = ${show(error(bits))}`;
  return { error, arithmetic };
}

/** Measured lossless rates of trained weights in bits per weight: sign and low mantissa bits are noise, exponents take about 2.5 bits. */
const TYPICAL_LOSSLESS: Readonly<Record<string, number>> = { bf16: 10.5, f16: 13.5, f32: 26.5 };
/** The lowest lossless rate measured for trained weights of any type. */
const MIN_LOSSLESS = 9.5;
/** Share of a measured or typical rate that a better lossless code may reach. */
const BETTER_CODE = 0.97;

function exactness({ original, originalBits = 32 }: Claim, rate: Rate, measured?: number): Statement {
  const { bits, arithmetic } = rate;
  const claim = `lossless at ${show(bits)} bits per weight`;
  if (measured !== undefined) {
    const because = `${arithmetic}; these weights were measured to take ${show(measured)}`;
    return (bits >= measured * BETTER_CODE ? supported : contradicted)(claim, because);
  }
  if (bits < MIN_LOSSLESS && bits < originalBits)
    return contradicted(claim, `${arithmetic}; trained weights take at least ${MIN_LOSSLESS}`);
  const type = original ?? { 16: 'bf16', 32: 'f32' }[originalBits];
  const typical = type === undefined ? undefined : TYPICAL_LOSSLESS[type];
  if (typical === undefined)
    return unknown(claim, `${arithmetic}; the lossless rate of ${show(originalBits)}-bit weights is unknown`);
  const because = `${arithmetic}; trained weights in ${type} take ${typical}`;
  return bits >= typical * BETTER_CODE
    ? supported(claim, `${because}: possible`)
    : unknown(
        claim,
        `${because}${type === 'bf16' ? '' : `; ${type} converted from bf16 takes ${TYPICAL_LOSSLESS.bf16}`}`,
      );
}

/** Tolerance for rounded rates. */
const RATE_ROUNDING = 1.02;
/**
 * Real weights need fewer bits than Gaussian ones for the same error: 0.1 bits if they are Laplacian (entropy power e/pi of the
 * variance), more if variances differ within a part.
 */
const TOLERANCE_BITS = 0.25;

function closeness(error: number, rate: Rate, bound: Bound): Statement {
  const claim = `a relative squared error of ${show(error)}`;
  const because = bound.arithmetic(rate);
  if (error >= bound.error(rate.bits * RATE_ROUNDING)) return supported(claim, `${because}: possible`);
  if (error < bound.error(rate.bits + TOLERANCE_BITS)) return contradicted(claim, because);
  return unknown(claim, `${because}; non-Gaussian weights may need up to ${TOLERANCE_BITS} bits less`);
}

/** Bits per weight and KL divergence measured on a model of 5.8 M weights (docs/quality.md). Larger models need fewer bits. */
const MEASURED: readonly (readonly [bits: number, kl: number])[] = [
  [1.3, 0.169],
  [1.75, 0.0615],
  [2.5, 0.0154],
  [3, 0.0067],
  [3.7, 0.0022],
  [4.6, 0.00059],
];
/** With a larger relative squared error, no model behaves like the original. */
const MAX_ERROR = 0.5;
const SMALL_KL = 0.5;
/** Factor by which models may differ from the measured one. */
const MODEL_VARIATION = 0.7;

function divergence(kl: number, rate: Rate, bound: Bound): Statement {
  const { bits } = rate;
  const claim = `a KL divergence of ${show(kl)} nats per token at ${show(bits)} bits per weight`;
  const arithmetic = bound.arithmetic(rate);
  if (bound.error(bits) > MAX_ERROR && kl < SMALL_KL)
    return contradicted(claim, `${arithmetic}: at least half of the energy is lost`);
  const measured = measuredAt(bits);
  const comparison = `weightpress measured ${show(measured)} nats at this rate on a small model`;
  if (kl >= measured * MODEL_VARIATION) return supported(claim, `${arithmetic}; possible: ${comparison}`);
  return unknown(claim, `${arithmetic}; ${comparison}; larger models may reach less`);
}

/** Interpolates log KL linearly between the measured points, or extrapolates from the nearest two. */
function measuredAt(bits: number): number {
  const next = MEASURED.findIndex(([rate]) => rate >= bits);
  const upper = Math.min(MEASURED.length - 1, Math.max(1, next < 0 ? MEASURED.length - 1 : next));
  const [[a, low], [b, high]] = [MEASURED[upper - 1]!, MEASURED[upper]!];
  return low * (high / low) ** ((bits - a) / (b - a));
}
