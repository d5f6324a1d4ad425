import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';
import { requireDimensions } from './dimensions.js';
import type { ParameterShape } from './family.js';
import { embeddingsAreTied, FAMILIES, findFamily } from './registry.js';

export type { ParameterShape } from './family.js';

/**
 * Every parameter of a model with this config, names as the Hub's checkpoints have them, in the order of the
 * modules. Buffers are not parameters; a tied head is not listed apart.
 * @throws {InputError} for an unknown family or a config without the numbers needed.
 */
export function parameterShapes(config: Readonly<Record<string, unknown>>): ParameterShape[] {
  const family = findFamily(config);
  if (!family) {
    const known = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ');
    throw new InputError(`config.json: unknown model_type ${quote(config.model_type)}; known are ${known}`);
  }
  const tied = embeddingsAreTied(config) ?? family.tiedByDefault;
  return family.parameterShapes({ ...requireDimensions(config), tied }, config);
}
