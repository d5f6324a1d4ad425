import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';
import { requireDimensions } from './dimensions.js';
import type { ParameterShape } from './family.js';
import { embeddingsAreTied, FAMILIES, findFamily } from './registry.js';

export type { ParameterShape } from './family.js';

/**
 * Returns the parameters of a model with this config, named as in checkpoints on the Hub, in the order of its modules, without buffers or
 * a tied head.
 * @throws {InputError} for an unknown family or an incomplete config.
 */
export function parameterShapes(config: Readonly<Record<string, unknown>>): ParameterShape[] {
  const family = findFamily(config);
  if (!family) {
    const known = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ');
    throw new InputError(
      `config.json: unknown model_type ${quote(config.model_type)}, expected one of ${known}`,
    );
  }
  const tied = embeddingsAreTied(config) ?? family.tiedByDefault;
  return family.parameterShapes({ ...requireDimensions(config), tied }, config);
}
