import type { Config } from '../core/json.js';
import { isPlainObject } from '../core/json.js';

/** How weights are packed, from `quantization_config`. */
export interface Quantization {
  /** `gptq`, `awq`, `fp8` ... */
  readonly method: string;
  /** Which of the method's formats, in its own word: `nf4`, `pack-quantized`, `NVFP4` ... */
  readonly variant: string | undefined;
  /** Bits per weight. */
  readonly bits: number | undefined;
  /** Number of weights that share a scale. */
  readonly groupSize: number | undefined;
}

/** Reads `quantization_config`; undefined if there is none. */
export function quantizationOf(config: Config | undefined): Quantization | undefined {
  const given = config?.quantization_config ?? config?.compression_config;
  if (!isPlainObject(given) || Object.keys(given).length === 0) return undefined;
  const weights = groupOf(given);
  const method = given.quant_method ?? given.quant_algo ?? 'an unknown method';
  const bits = number(given.bits) ?? number(weights?.num_bits) ?? bitsOf(given);
  return {
    method: String(method),
    variant: variantOf(given, method),
    bits,
    groupSize: number(given.group_size) ?? number(weights?.group_size),
  };
}

/** Returns a description for people: `gptq, 4 bits, groups of 128`. */
export function describeQuantization({ method, variant, bits, groupSize }: Quantization): string {
  const name = variant === undefined ? method : `${method} (${variant})`;
  return [name, bits && `${bits} bits`, groupSize && `groups of ${groupSize}`].filter(Boolean).join(', ');
}

/** Fields in which methods name the format of weights. */
const VARIANTS = ['format', 'checkpoint_format', 'quant_algo'];

function variantOf(given: Config, method: unknown): string | undefined {
  const { bnb_4bit_quant_type: type, load_in_4bit: four, weight_block_size: block } = given;
  if (four === true && typeof type === 'string') return type;
  if (Array.isArray(block) && block.length === 2) return `blocks of ${block.join(' x ')}`;
  const field = VARIANTS.find((name) => typeof given[name] === 'string' && given[name] !== method);
  return field && String(given[field]);
}

/** Returns the weight settings of the first group of layers in compressed-tensors; models have only one group. */
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
