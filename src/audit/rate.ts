import { show } from './verdict.js';

/** The numbers of a claim; those that it does not state are undefined. */
export interface Claim {
  /** Parameters of the model. */
  readonly parameters?: number | undefined;
  /** Bytes of the compressed artifact. */
  readonly bytes?: number | undefined;
  /** Bits per weight, instead of bytes. */
  readonly bitsPerWeight?: number | undefined;
  /** Numbers that are stored. */
  readonly values?: number | undefined;
  /** Bits of each stored number. */
  readonly valueBits?: number | undefined;
  /** Original over compressed bytes. */
  readonly ratio?: number | undefined;
  /** The type of the original's weights: `f32`, `f16` or `bf16`. */
  readonly originalBits?: number | undefined;
  /** Type of the original's weights: `f32`, `f16` or `bf16`. */
  readonly original?: string | undefined;
  /** True for a claim that nothing is lost. */
  readonly lossless?: boolean | undefined;
  /** Squared error over the sum of the weights' squares. */
  readonly relativeError?: number | undefined;
  /** KL divergence from the original, in nats per token. */
  readonly kl?: number | undefined;
}

/** The rate of a claim in bits per weight, and its derivation. */
export interface Rate {
  readonly bits: number;
  readonly arithmetic: string;
}

/** Returns the rate from bytes and parameters, or else the stated bits, or else the ratio; undefined without any of these. */
export function rateOf({
  parameters,
  bytes,
  bitsPerWeight,
  ratio,
  originalBits = 32,
}: Claim): Rate | undefined {
  if (bytes !== undefined && parameters !== undefined) {
    const bits = (bytes * 8) / parameters;
    return {
      bits,
      arithmetic: `${show(bytes)} bytes x 8 / ${show(parameters)} = ${show(bits)} bits per weight`,
    };
  }
  if (bitsPerWeight !== undefined)
    return { bits: bitsPerWeight, arithmetic: `${show(bitsPerWeight)} bits per weight` };
  if (ratio === undefined) return undefined;
  const bits = originalBits / ratio;
  return { bits, arithmetic: `${show(originalBits)} bits / ${show(ratio)} = ${show(bits)} bits per weight` };
}
