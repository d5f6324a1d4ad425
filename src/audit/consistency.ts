import { type Claim, rateOf } from './rate.js';
import { contradicted, judge, type Statement, show, supported } from './verdict.js';

/** Relative tolerance for rounded ratios and counts. */
const ROUNDING = 0.02;

/** Compares a claim's numbers with each other. */
export function consistency(claim: Claim): Statement[] {
  return [...ratioStatements(claim), ...valueStatements(claim)];
}

function ratioStatements(claim: Claim): Statement[] {
  const { parameters, values, ratio, originalBits = 32 } = claim;
  if (ratio === undefined) return [];
  const { ratio: _, ...others } = claim;
  const rate = rateOf(others);
  const claimed = `a ratio of ${show(ratio)}:1`;
  const near = (other: number) => Math.abs(ratio / other - 1) <= ROUNDING;
  const bytes = rate && { ratio: originalBits / rate.bits, because: byBytes(others, rate.bits) };
  if (bytes && near(bytes.ratio)) return [supported(claimed, bytes.because)];
  const count = parameters !== undefined && values !== undefined ? parameters / values : undefined;
  if (count !== undefined && near(count))
    return [
      supported(
        claimed,
        `as a ratio of counts: ${show(parameters!)} parameters / ${show(values!)} values = ${show(count)}`,
      ),
      ...(bytes ? [contradicted(`${claimed} of bytes`, bytes.because)] : []),
    ];
  const other = bytes?.ratio ?? count;
  return other === undefined ? [] : [contradicted(claimed, `the other numbers give ${show(other)}:1`)];
}

function byBytes({ parameters, bytes, originalBits = 32 }: Claim, bits: number): string {
  const ratio = show(originalBits / bits);
  return bytes !== undefined && parameters !== undefined
    ? `${show(parameters)} x ${show(originalBits / 8)} bytes / ${show(bytes)} = ${ratio}`
    : `${show(originalBits)} bits / ${show(bits)} = ${ratio}`;
}

function valueStatements({ parameters, bytes, values, valueBits, bitsPerWeight }: Claim): Statement[] {
  const size = bytes ?? (bitsPerWeight && parameters && (bitsPerWeight * parameters) / 8);
  if (values === undefined || !size) return [];
  const each = (size * 8) / values;
  return [
    judge(
      each >= (valueBits ?? 1) * (1 - ROUNDING),
      `${show(values)} values in ${show(size)} bytes`,
      `${show(each)} bits per value${valueBits ? `, claimed ${show(valueBits)}` : ''}`,
    ),
  ];
}
