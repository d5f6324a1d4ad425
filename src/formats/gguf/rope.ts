import { InputError } from '../../errors.js';
import { isPlainObject, quote } from '../json.js';
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

interface Llama3Scaling {
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/** Metadata of a config's scaling. @throws {InputError} for a kind that GGUF or this writer has no place for. */
export function writeScaling(architecture: string, config: Config, file: string): GgufEntry[] {
  const scaling = scalingOf(config);
  const type = scaling.rope_type ?? scaling.type ?? 'default';
  if (type === 'default' || type === 'llama3') return [];
  if (type === 'linear' && typeof scaling.factor === 'number')
    return [
      { key: `${architecture}.rope.scaling.type`, type: 'string', value: 'linear' },
      { key: `${architecture}.rope.scaling.factor`, type: 'float32', value: scaling.factor },
    ];
  throw new InputError(
    `config.json: rotary positions scaled as ${quote(type)} are not written; default, linear and llama3 are`,
    { file },
  );
}

function scalingOf({ rope_parameters, rope_scaling }: Config): Record<string, unknown> {
  const scaling = rope_parameters ?? rope_scaling;
  return isPlainObject(scaling) ? scaling : {};
}

/** The tensor that says in GGUF how Llama 3 slows each frequency. */
export const FREQUENCY_FACTORS = 'rope_freqs.weight';

/** Its elements for a config; undefined when the config asks for none. @throws {InputError} */
export function factorsOf(
  config: Config,
  headSize: number,
  base: number,
  file: string,
): Float32Array | undefined {
  const scaling = scalingOf(config);
  if ((scaling.rope_type ?? scaling.type) !== 'llama3') return undefined;
  const { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } = scaling;
  const numbers = [factor, low_freq_factor, high_freq_factor, original_max_position_embeddings];
  if (!numbers.every((value) => typeof value === 'number' && value > 0))
    throw new InputError(
      `config.json: expected four positive numbers of llama3 scaling, found ${quote(numbers)}`,
      {
        file,
      },
    );
  return llama3Factors(scaling as unknown as Llama3Scaling, headSize, base);
}

/** Long waves are slowed by the factor, short ones kept, those between interpolated. */
function llama3Factors(scaling: Llama3Scaling, headSize: number, base: number): Float32Array {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings } = scaling;
  return Float32Array.from({ length: headSize / 2 }, (_, i) => {
    const waves = original_max_position_embeddings / (2 * Math.PI * base ** ((2 * i) / headSize));
    const kept = Math.min(1, Math.max(0, (waves - low) / (high - low)));
    return 1 / (kept + (1 - kept) / factor);
  });
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
  const expected = llama3Factors(scaling, 2 * factors.length, base);
  if (factors.every((factor, i) => Math.abs(factor - expected[i]!) <= 1e-4 * expected[i]!)) return scaling;
  throw new InputError('are not the factors of Llama 3, so that its config cannot be told', {
    file,
    tensor: FREQUENCY_FACTORS,
  });
}
