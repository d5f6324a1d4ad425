import { frequencyDivisors, readRope } from '../../architectures/rope.js';
import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { Config } from './family.js';
import type { GgufValue } from './header.js';
import type { GgufEntry } from './header-writer.js';

/**
 * The scaling of rotary positions in the metadata, as config.json has it. Llama 3's lies in a tensor, which {@link scalingOfFactors}
 * reads. Kinds that are not run are kept by name, so that running them is refused by name.
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

/** Metadata of a config's scaling. @throws {InputError} for a kind that is not built. */
export function writeScaling(architecture: string, config: Config): GgufEntry[] {
  const { scaling } = readRope(config);
  if (scaling.type !== 'linear') return [];
  return [
    { key: `${architecture}.rope.scaling.type`, type: 'string', value: 'linear' },
    { key: `${architecture}.rope.scaling.factor`, type: 'float32', value: scaling.factor },
  ];
}

/** The tensor that says in GGUF how Llama 3 slows each frequency. */
export const FREQUENCY_FACTORS = 'rope_freqs.weight';

/** Its elements for a config; undefined when the config asks for none. @throws {InputError} */
export function factorsOf(config: Config, size: number): Float32Array | undefined {
  const rope = readRope(config);
  return rope.scaling.type === 'llama3' ? Float32Array.from(frequencyDivisors(rope, size)) : undefined;
}

/**
 * The scaling that gives these factors. GGUF keeps only them; of Llama 3's four numbers all its models share three.
 * @throws {InputError} when they are others.
 */
export function scalingOfFactors(factors: Float32Array, base: number, file: string): Record<string, unknown> {
  const scaling = {
    rope_type: 'llama3',
    factor: factors.reduce((most, factor) => Math.max(most, factor), 0),
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const rope = readRope({ rope_theta: base, rope_scaling: scaling });
  const expected = frequencyDivisors(rope, 2 * factors.length);
  if (factors.every((factor, i) => Math.abs(factor - expected[i]!) <= 1e-4 * expected[i]!)) return scaling;
  throw new InputError('are not the factors of Llama 3, so that its config cannot be told', {
    file,
    tensor: FREQUENCY_FACTORS,
  });
}
