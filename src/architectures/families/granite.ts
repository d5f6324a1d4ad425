import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import { biases, decoder, llama, type Variant } from './llama.js';

/** Returns Granite's four multipliers. */
export function multipliers(c: ConfigReader): Variant {
  return {
    embedding: { scale: c.number('embedding_multiplier', 1) },
    attention: { ...biases(c).attention, scale: c.number('attention_multiplier', 1) },
    layer: { branchScale: c.number('residual_multiplier', 1) },
    head: { scale: 1 / c.number('logits_scaling', 1) },
  };
}

/** Granite: Llama with multipliers of embeddings, scores, branches and logits. */
export const granite: Family = {
  ...llama,
  name: 'Granite',
  modelTypes: ['granite'],
  classes: /^Granite(?!Moe|Speech|\d)/,
  settings: (c, size) => decoder(c, size, { mlp: biases(c).mlp!, ...multipliers(c) }),
};
