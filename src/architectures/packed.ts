import { elementCount } from '../core/dtype.js';
import type { Config } from '../core/json.js';
import type { TensorInfo } from '../core/model.js';
import { exactKind, PACKED_KIND } from './exact.js';

import { quantizationOf } from './quantization-config.js';

type Tensor = Pick<TensorInfo, 'name' | 'dtype' | 'shape'>;

/** Default bits per weight of GPTQ and AWQ. */
const DEFAULT_BITS = 4;

/**
 * Returns a function that counts a tensor's weights: its elements, or the number of weights that packed integers hold, and 0 for scales,
 * zero points and codes.
 * @param tensors all tensors of the model, since the neighbors of a tensor show how it is packed.
 */
export function weightCounter(tensors: readonly Tensor[], config: Config | undefined) {
  const names = new Set(tensors.map(({ name }) => name));
  const bits = quantizationOf(config)?.bits ?? DEFAULT_BITS;
  return ({ name, dtype, shape }: Tensor): number => {
    const elements = elementCount(shape);
    if (/(^|\.)(qweight|weight_packed)$/.test(name))
      return Math.floor((elements * (dtype === 'I32' ? 32 : 8)) / bits);
    if (/_blocks$/.test(name) && dtype === 'U8') return 2 * elements;
    if (exactKind({ name, shape }, undefined) === PACKED_KIND) return 0;
    const isHalved = dtype === 'U8' && (names.has(`${name}.absmax`) || names.has(`${name}_scale_2`));
    return isHalved ? 2 * elements : elements;
  };
}
