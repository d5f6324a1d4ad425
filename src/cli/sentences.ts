import type { OpenOptions } from '../core/model.js';
import { generate } from '../evaluation/node/run.js';
import type { Summary } from '../wpk/summary.js';
import { openWhole } from './open.js';
import { print } from './terminal.js';

/** Prompt that both models continue. */
const PROMPT = 'It was a dark night, and';
const TOKENS = 30;
/** KL divergence, in nats per token, above which a reader may notice the difference. */
const NOTICEABLE_KL = 0.1;

/** Returns whether the measured loss of a file is large enough to notice in generated text. */
export function isNoticeable(quality: Summary['quality']): boolean {
  const { kl, kind } = (quality ?? {}) as { readonly kl?: { readonly mean: number }; readonly kind?: string };
  return kind === 'causal' && kl !== undefined && kl.mean > NOTICEABLE_KL;
}

/** Prints how the original and the compressed model continue the same prompt, decoding greedily. */
export async function printSentences(
  { path, state, exclude }: OpenOptions & { readonly path: string },
  compressed: string,
): Promise<void> {
  for (const [label, open] of [
    ['before', () => openWhole(path, { state, exclude })],
    ['after', () => openWhole(compressed)],
  ] as const) {
    const model = await open();
    try {
      const { text } = await generate(model, PROMPT, { maxTokens: TOKENS });
      print(`${label}: ${PROMPT}${text?.replaceAll(/\s+/g, ' ')}`);
    } finally {
      await model.close();
    }
  }
}
