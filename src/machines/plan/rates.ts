import type { Dtype } from '../../core/dtype.js';

/** A speed that was measured on one thread. */
export interface Rate {
  /** Seconds of processor time per unit. */
  readonly seconds: number;
  /** What one unit is. */
  readonly per: string;
  /** The command that prints it. */
  readonly command: string;
}

/** The machine that the rates are of. */
export const MEASURED_ON = 'one thread of an AMD EPYC (Zen 4), onnxruntime-node, Node 20, 2026-11-27';

/** MODEL has one layer of GPT-Neo 1.3B; the first lines of the bench say how it is made. */
const rate = (seconds: number, per: string, name: string): Rate => ({
  seconds,
  per,
  command: `node bench/machines-rates.js MODEL ${name}`,
});

/**
 * Processor time on a machine that others used too. Those of products are of n = 8192. Trellis, feed and push are fitted to one run each of
 * four shapes of up to 8192 rows or columns, taken from two calls; repeated fits of feed were between 6e-12 and 13e-12, of push between
 * 5e-11 and 10e-11. Encode and decode are medians of six shapes and calls.
 */
export const RATES = {
  /** A layer, attention included, in windows of 512 tokens. */
  forward: rate(3.88e-11, 'token and weight', 'windows'),
  /** The same backward, with its inner values computed again. */
  backward: rate(6.64e-11, 'token and weight', 'windows'),
  /** The head's product forward and backward. */
  head: rate(6.68e-11, 'token and weight', 'windows'),
  /** A label drawn from logits, and their gradient. */
  sample: rate(3.22e-8, 'logit', 'logits'),
  /** Divergence of two rows of logits. */
  score: rate(5.8e-8, 'logit', 'logits'),
  /** Bytes to float32. */
  load: rate(7.51e-9, 'weight', 'load'),
  /** Sum of x x^T, [n, n]. */
  moments: rate(4.04e-11, 'token and n^2', 'moments'),
  factor: rate(1.21e-11, 'n^3', 'factor'),
  /** Viterbi's algorithm and what surrounds it, where rows do not interact. */
  trellis: rate(2.03e-7, 'weight', 'matrix'),
  /** The same where they do. */
  trellisOfTwoSides: rate(3.4e-7, 'weight', 'matrix'),
  /** Errors fed from the columns before a panel. */
  feed: rate(7.9e-12, 'weight and column', 'matrix'),
  /** Errors pushed from the rows above a block. */
  push: rate(7.2e-11, 'weight and row', 'matrix'),
  encode: rate(1.65e-8, 'weight', 'matrix'),
  decode: rate(8.7e-9, 'weight', 'matrix'),
  sha256: rate(5.7e-10, 'byte', 'digests'),
  /** Decoded weights with the original's. */
  compare: rate(1.07e-8, 'weight', 'digests'),
  /** Blocks of the lossless codec. */
  lossless: rate(3.41e-9, 'byte', 'lossless'),
} as const satisfies Readonly<Record<string, Rate>>;

/** Shares of the bytes of trained weights that the lossless codec leaves: test/structure.test.ts checks them. */
export const LOSSLESS_SHARES: Readonly<Partial<Record<Dtype, number>>> = {
  BF16: 0.658,
  F16: 0.847,
  F32: 0.83,
};
