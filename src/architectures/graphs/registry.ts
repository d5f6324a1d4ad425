import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { ForwardFamily } from '../forward.js';
import { gptNeo } from './gpt_neo.js';
import { gptNeox } from './gpt_neox.js';
import { gpt2 } from './gpt2.js';
import { llama, mistral, qwen2 } from './llama.js';
import { roberta } from './roberta.js';

/** The families that can be run. */
const FORWARD_FAMILIES: readonly ForwardFamily[] = [gptNeo, gpt2, roberta, llama, mistral, qwen2, gptNeox];

/** @throws {InputError} listing what can be run, when this `model_type` cannot. */
export function findForwardFamily(modelType: unknown): ForwardFamily {
  const found = FORWARD_FAMILIES.find(({ modelTypes }) => modelTypes.some((type) => type === modelType));
  if (found) return found;
  const known = FORWARD_FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ');
  throw new InputError(
    `config.json: models of model_type ${quote(modelType)} cannot be run; those that can: ${known}`,
  );
}
