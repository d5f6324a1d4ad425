import type { ForwardPlan } from '../../architectures/forward.js';
import { readRope } from '../../architectures/rope.js';
import { frequencyDivisors } from '../../architectures/rope-frequencies.js';
import type { RopeScaling } from '../../architectures/rope-scaling.js';
import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { GgufFamily } from './family.js';
import type { GgufEntry } from './header-writer.js';
import { type Get, latentOf, rotaryOf } from './keys.js';
import { shortest } from './numbers.js';

/** GGUF tensors with divisors of the rotary frequencies: of Llama 3, and of longrope for long and short contexts. */
export const FACTOR_TENSORS = {
  llama3: 'rope_freqs.weight',
  long: 'rope_factors_long.weight',
  short: 'rope_factors_short.weight',
} as const;

/** The divisors in a file, by the names of their tensors. */
export type Factors = ReadonlyMap<string, Float32Array>;

type Yarn = Extract<RopeScaling, { type: 'yarn' }>;

/** YaRN's usual correction of the temperature, which llama.cpp multiplies with its factor. */
const temperature = (factor: number) => (factor <= 1 ? 1 : 1 + 0.1 * Math.log(factor));

/** Names of the metadata, without `ARCHITECTURE.rope.scaling.`. */
const keyOf = (name: string) => `rope.scaling.${name}`;

/**
 * Converts a model's scaling of rotary positions to metadata. Dynamic scaling changes nothing within the context that is written.
 * @throws {InputError} for what llama.cpp computes in another way.
 */
export function writeScaling(gguf: GgufFamily, plan: ForwardPlan): GgufEntry[] {
  const scaling = rotaryOf(plan)?.scaling ?? { type: 'default' };
  const entry = (name: string, value: number): GgufEntry => ({
    key: `${gguf.architecture}.${keyOf(name)}`,
    type: name === 'original_context_length' ? 'uint32' : 'float32',
    value,
  });
  const type = (value: string): GgufEntry => ({
    key: `${gguf.architecture}.${keyOf('type')}`,
    type: 'string',
    value,
  });
  switch (scaling.type) {
    case 'linear':
      return [type('linear'), entry('factor', scaling.factor)];
    case 'yarn':
      return [type('yarn'), ...writeYarn(scaling, latentOf(plan) !== undefined, entry)];
    case 'longrope':
      return [
        type('longrope'),
        entry('original_context_length', scaling.originalPositions),
        entry('attn_factor', scaling.magnitude),
      ];
    default:
      return [];
  }
}

function writeYarn(
  { factor, fast, slow, truncate, originalPositions, magnitude, scoreScale }: Yarn,
  isLatent: boolean,
  entry: (name: string, value: number) => GgufEntry,
): GgufEntry[] {
  if (!truncate || fast !== 32 || slow !== 1)
    throw new InputError(
      'config.json: llama.cpp supports yarn only with beta_fast 32, beta_slow 1 and truncate true',
    );
  if (isLatent && (magnitude !== 1 || scoreScale === 1))
    throw new InputError(
      'config.json: llama.cpp supports yarn in this architecture only with mscale equal to mscale_all_dim',
    );
  const entries = [entry('factor', factor), entry('original_context_length', originalPositions)];
  if (isLatent)
    return [...entries, entry('yarn_log_multiplier', (Math.sqrt(scoreScale) - 1) / Math.log(factor))];
  const own = magnitude / temperature(factor);
  return Math.abs(own - 1) < 1e-9 ? entries : [...entries, entry('attn_factor', own)];
}

/**
 * Returns the tensors of divisors of a model. @throws {InputError} where llama.cpp does not read them.
 */
export function factorTensors(gguf: GgufFamily, plan: ForwardPlan): [name: string, floats: Float32Array][] {
  const rotary = rotaryOf(plan);
  const { scaling } = rotary ?? {};
  if (!rotary || (scaling?.type !== 'llama3' && scaling?.type !== 'longrope')) return [];
  if (!gguf.factors?.includes(scaling.type))
    throw new InputError(
      `config.json: llama.cpp does not support rope_type ${quote(scaling.type)} for ${gguf.architecture}`,
    );
  if (scaling.type === 'llama3')
    return [[FACTOR_TENSORS.llama3, Float32Array.from(frequencyDivisors(rotary, rotary.size))]];
  return [
    [FACTOR_TENSORS.long, Float32Array.from(scaling.long)],
    [FACTOR_TENSORS.short, Float32Array.from(scaling.short)],
  ];
}

/**
 * Converts the scaling of rotary positions in the metadata and the tensors to that of config.json. Unsupported kinds are returned by
 * name, so that running the model is refused with that name. @throws {InputError} for wrong values.
 */
export function readScaling(
  get: Get,
  { factors, base, context, isLatent }: ScalingContext,
  file: string,
): Record<string, unknown> {
  const number = (name: string, fallback: number) => {
    const value = get(keyOf(name)) ?? fallback;
    if (typeof value === 'number' && value > 0) return shortest(value);
    throw new InputError(`${keyOf(name)}: expected a positive number, found ${quote(value)}`, { file });
  };
  const llama3 = factors.get(FACTOR_TENSORS.llama3);
  if (llama3) return { rope_scaling: scalingOfFactors(llama3, base, file) };
  const [long, short] = [factors.get(FACTOR_TENSORS.long), factors.get(FACTOR_TENSORS.short)];
  const original = () => number('original_context_length', context);
  if (long && short) {
    const original_max_position_embeddings = original();
    const rope_scaling = {
      rope_type: 'longrope',
      long_factor: [...long].map(shortest),
      short_factor: [...short].map(shortest),
      original_max_position_embeddings,
      attention_factor: number('attn_factor', 1),
    };
    // Phi-3 reads it beside the scaling
    return { rope_scaling, original_max_position_embeddings };
  }
  const type = get(keyOf('type')) ?? 'none';
  const factor = get(keyOf('factor')) ?? get('rope.scale_linear');
  // without a type, a factor is of linear scaling
  if (factor === undefined || factor === 1 || factor === 0) if (type === 'none') return {};
  if (typeof factor !== 'number' || !(factor > 0))
    throw new InputError(`${keyOf('factor')}: expected a positive number, found ${quote(factor)}`, { file });
  if (type !== 'yarn')
    return { rope_scaling: { rope_type: type === 'none' ? 'linear' : type, factor: shortest(factor) } };
  const multiplier = get(keyOf('yarn_log_multiplier'));
  const scale = isLatent && typeof multiplier === 'number' && multiplier > 0 && shortest(multiplier * 10);
  return {
    rope_scaling: {
      rope_type: 'yarn',
      factor: shortest(factor),
      original_max_position_embeddings: original(),
      ...(scale
        ? { mscale: scale, mscale_all_dim: scale }
        : { attention_factor: temperature(factor) * number('attn_factor', 1) }),
    },
  };
}

/** What the scaling of a file depends on, beside its metadata. */
export interface ScalingContext {
  readonly factors: Factors;
  readonly base: number;
  readonly context: number;
  readonly isLatent: boolean;
}

/** Contexts of training that are tried: Llama 3's, then other powers of two. */
const ORIGINALS = [8192, ...Array.from({ length: 16 }, (_, i) => 2 ** (i + 5))];

/**
 * Returns the RoPE scaling with these factors. GGUF stores only the factors; two of the four parameters are the same in all Llama 3
 * models. @throws {InputError} when the factors are different.
 */
function scalingOfFactors(factors: Float32Array, base: number, file: string): Record<string, unknown> {
  for (const original of ORIGINALS) {
    const scaling = {
      rope_type: 'llama3',
      factor: factors.reduce((max, factor) => Math.max(max, factor), 0),
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: original,
    };
    const expected = frequencyDivisors(
      readRope({ rope_theta: base, rope_scaling: scaling }),
      2 * factors.length,
    );
    if (factors.every((factor, i) => Math.abs(factor - expected[i]!) <= 1e-4 * expected[i]!)) return scaling;
  }
  throw new InputError('unknown RoPE scaling: expected the factors of Llama 3', {
    file,
    tensor: FACTOR_TENSORS.llama3,
  });
}
