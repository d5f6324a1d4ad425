import { elementCount } from '../formats/dtype.js';
import { isPlainObject } from '../formats/json.js';
import type { TensorInfo } from '../formats/model.js';
import { exactKind, PACKED_KIND } from './exact.js';

type Config = Readonly<Record<string, unknown>>;
type Tensor = Pick<TensorInfo, 'name' | 'dtype' | 'shape'>;

/** What `quantization_config` says of how weights are packed. */
export interface Quantization {
  /** `gptq`, `awq`, `fp8` ... */
  readonly method: string;
  readonly bits: number | undefined;
  /** Weights that share a scale. */
  readonly groupSize: number | undefined;
}

/** Reads `quantization_config`; undefined where there is none. */
export function quantizationOf(config: Config | undefined): Quantization | undefined {
  const given = config?.quantization_config ?? config?.compression_config;
  if (!isPlainObject(given) || Object.keys(given).length === 0) return undefined;
  const weights = groupOf(given);
  const method = given.quant_method ?? given.quant_algo ?? 'method not said';
  const bits = number(given.bits) ?? number(weights?.num_bits) ?? bitsOf(given);
  return {
    method: String(method),
    bits,
    groupSize: number(given.group_size) ?? number(weights?.group_size),
  };
}

/** Of compressed-tensors: the first of the groups of layers, which models have one of. */
function groupOf({ config_groups: groups }: Config): Record<string, unknown> | undefined {
  const first = isPlainObject(groups) ? Object.values(groups).find(isPlainObject) : undefined;
  return isPlainObject(first?.weights) ? first.weights : undefined;
}

function bitsOf({
  load_in_4bit: four,
  load_in_8bit: eight,
  quant_method: method,
}: Config): number | undefined {
  if (four === true || method === 'mxfp4') return 4;
  return eight === true || method === 'fp8' ? 8 : undefined;
}

const number = (value: unknown) => (typeof value === 'number' && value > 0 ? value : undefined);

/** What GPTQ and AWQ pack in, where the config does not say. */
const DEFAULT_BITS = 4;

/**
 * Counts the weights of each tensor: elements, but of packed integers as many as they hold, and none in scales, zeros and codes.
 * @param tensors all of a model: what lies beside a tensor tells how it is packed.
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
