import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { ForwardFamily } from '../forward.js';
import { gptNeo } from './gpt_neo.js';
import { gptNeox } from './gpt_neox.js';
import { gpt2 } from './gpt2.js';
import { llama, mistral, qwen2 } from './llama.js';
import { roberta } from './roberta.js';

/** Families with a forward pass. */
const FORWARD_FAMILIES: readonly ForwardFamily[] = [gptNeo, gpt2, roberta, llama, mistral, qwen2, gptNeox];

/** Finds the forward pass of a `model_type`. @throws {InputError} listing the supported ones, when there is none. */
export function findForwardFamily(modelType: unknown): ForwardFamily {
  const found = FORWARD_FAMILIES.find(({ modelTypes }) => modelTypes.some((type) => type === modelType));
  if (found) return found;
  const known = FORWARD_FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ');
  throw new InputError(`config.json: unsupported model_type ${quote(modelType)}, expected one of ${known}`);
}
