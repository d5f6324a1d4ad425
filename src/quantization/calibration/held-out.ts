import type { TokenizedSentences } from '../../evaluation/embedding/compare.js';

/** Held-out text to measure the loss on, which was not used for the statistics. */
export type HeldOut =
  | HeldOutTokens
  | ({ readonly kind: 'sentences'; readonly name: string } & TokenizedSentences);

interface HeldOutTokens {
  readonly kind: 'tokens';
  readonly name: string;
  readonly tokens: readonly number[];
  readonly window: number;
  readonly maskToken: number | undefined;
}
