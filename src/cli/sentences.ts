import type { OpenOptions } from '../core/model.js';
import { generate } from '../evaluation/node/run.js';
import type { Summary } from '../wpk/summary.js';
import { openWhole } from './open.js';
import { print } from './terminal.js';

/** Where a sentence begins, for both models to continue. */
const BEGINNING = 'It was a dark night, and';
const TOKENS = 30;
/** Nats a token from where a reader may tell the compressed model from the original. */
const AUDIBLE_KL = 0.1;

/** True for a file whose measured loss can be read in what the model writes. */
export function isAudible(quality: Summary['quality']): boolean {
  const { kl, kind } = (quality ?? {}) as { readonly kl?: { readonly mean: number }; readonly kind?: string };
  return kind === 'causal' && kl !== undefined && kl.mean > AUDIBLE_KL;
}

/** Prints how the original and the compressed model continue the same words, each by its most probable tokens. */
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
      const { text } = await generate(model, BEGINNING, { maxTokens: TOKENS });
      print(`${label}: ${BEGINNING}${text?.replaceAll(/\s+/g, ' ')}`);
    } finally {
      await model.close();
    }
  }
}
