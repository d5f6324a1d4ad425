import { frequencyDivisors, readRope } from '../../architectures/rope.js';
import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { quote } from '../../core/json.js';
import type { GgufValue } from './header.js';
import type { GgufEntry } from './header-writer.js';

/**
 * Converts the RoPE scaling in the metadata to that of config.json. Llama 3's is in a tensor, which {@link scalingOfFactors} converts.
 * Unsupported kinds are returned by name, so that running the model is refused with that name.
 */
export function readScaling(
  architecture: string,
  metadata: ReadonlyMap<string, GgufValue>,
  file: string,
): Record<string, unknown> {
  const type = metadata.get(`${architecture}.rope.scaling.type`) ?? 'none';
  const factor =
    metadata.get(`${architecture}.rope.scaling.factor`) ?? metadata.get(`${architecture}.rope.scale_linear`);
  if (type === 'none' && (factor === undefined || factor === 1)) return {};
  if (typeof factor !== 'number' || !(factor > 0))
    throw new InputError(
      `${architecture}.rope.scaling.factor: expected a positive number, found ${quote(factor)}`,
      {
        file,
      },
    );
  return { rope_scaling: { rope_type: type === 'none' ? 'linear' : type, factor } };
}

/** Converts a config's RoPE scaling to metadata. @throws {InputError} for an unsupported kind. */
export function writeScaling(architecture: string, config: Config): GgufEntry[] {
  const { scaling } = readRope(config);
  if (scaling.type !== 'linear') return [];
  return [
    { key: `${architecture}.rope.scaling.type`, type: 'string', value: 'linear' },
    { key: `${architecture}.rope.scaling.factor`, type: 'float32', value: scaling.factor },
  ];
}

/** GGUF tensor with Llama 3's divisors of the rotary frequencies. */
export const FREQUENCY_FACTORS = 'rope_freqs.weight';

/** Returns the elements of that tensor for a config; undefined if the config has no such scaling. @throws {InputError} */
export function factorsOf(config: Config, size: number): Float32Array | undefined {
  const rope = readRope(config);
  return rope.scaling.type === 'llama3' ? Float32Array.from(frequencyDivisors(rope, size)) : undefined;
}

/**
 * Returns the RoPE scaling with these factors. GGUF stores only the factors; three of the four parameters are the same in all Llama 3
 * models. @throws {InputError} when the factors are different.
 */
export function scalingOfFactors(factors: Float32Array, base: number, file: string): Record<string, unknown> {
  const scaling = {
    rope_type: 'llama3',
    factor: factors.reduce((max, factor) => Math.max(max, factor), 0),
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const rope = readRope({ rope_theta: base, rope_scaling: scaling });
  const expected = frequencyDivisors(rope, 2 * factors.length);
  if (factors.every((factor, i) => Math.abs(factor - expected[i]!) <= 1e-4 * expected[i]!)) return scaling;
  throw new InputError('unknown RoPE scaling: expected the factors of Llama 3', {
    file,
    tensor: FREQUENCY_FACTORS,
  });
}
