import type { ForwardPlan } from '../../architectures/forward.js';
import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { Model } from '../../core/model.js';
import { openEmbeddingProgram } from '../../inference/embedding/program.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';
import { POOLING_TYPES } from '../../models/gguf/pooling.js';

/**
 * Opens an encoder, whose head is left out, as llama.cpp has none. @returns its settings, and how its hidden states become one vector.
 * @throws {InputError} as running it does, and for modules that llama.cpp does not have.
 */
export async function openEncoder(
  model: Model,
  { architecture }: GgufFamily,
): Promise<{ readonly plan: ForwardPlan; readonly pooling: readonly GgufEntry[] }> {
  const { plan, modules } = await openEmbeddingProgram(model);
  const { modes, steps, isDefault } = modules;
  if (isDefault) return { plan, pooling: [] };
  const value = POOLING_TYPES.findIndex((type) => modes.length === 1 && type === modes[0]);
  const isDense = steps.some(({ kind }) => kind === 'dense');
  if (value < 0 || isDense)
    throw new InputError(
      `modules.json: llama.cpp supports one pooling of ${POOLING_TYPES.filter(Boolean).join(', ')} without dense layers, found ${quote([...modes, ...steps.map(({ kind }) => kind)])}`,
      { file: model.id },
    );
  return { plan, pooling: [{ key: `${architecture}.pooling_type`, type: 'uint32', value }] };
}
