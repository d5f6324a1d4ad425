import type { ForwardPlan } from '../../architectures/forward.js';
import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { quote } from '../../core/json.js';
import type { GgufFamily, Shapes } from './family.js';
import type { GgufHeader, GgufValue } from './header.js';
import type { GgufEntry } from './header-writer.js';
import { type Get, KEYS, type Key } from './keys.js';
import { shortest } from './numbers.js';
import { type Factors, readScaling, writeScaling } from './rope.js';
import { readWindows, writeWindows } from './windows.js';

/** Returns a function that reads the keys of an architecture. */
export function getter({ metadata }: Pick<GgufHeader, 'metadata'>, architecture: unknown): Get {
  return (key) => metadata.get(`${architecture}.${key}`);
}

/**
 * Converts a GGUF file's metadata to a config.json, for a known architecture: what llama.cpp computes with the file.
 * @throws {InputError} when a key is missing or has the wrong type or value.
 */
export function readConfig(
  gguf: GgufFamily,
  header: Pick<GgufHeader, 'metadata'>,
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  factors: Factors,
  file: string,
): Record<string, unknown> {
  const { architecture, fixed, fields, modelTypes, className } = gguf;
  const get = getter(header, architecture);
  const config: Record<string, unknown> = { architectures: [className], model_type: modelTypes[0] };
  for (const [key, field] of fields) {
    const place = `${file}, ${architecture}.${key}`;
    const value = readKey(KEYS[key], get(key), get, place);
    if (value === undefined) continue;
    const given = typeof field === 'string' ? { [field]: value } : field(value as number, get);
    for (const [name, own] of Object.entries(given)) {
      if (config[name] !== undefined && config[name] !== own)
        throw new InputError(`${architecture}.${key}: expected ${quote(config[name])}, found ${quote(own)}`, {
          file,
        });
      config[name] = own;
    }
  }
  for (const [field, [value]] of Object.entries(fixed)) config[field] = value;
  const shapes: Shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  Object.assign(config, readWindows(gguf, get, get('block_count') as number, file));
  Object.assign(config, gguf.more?.(get, shapes));
  const scaling = {
    factors,
    base: readKey(KEYS['rope.freq_base'], get('rope.freq_base'), get, file) as number,
    context: get('context_length') as number,
    isLatent: get('attention.kv_lora_rank') !== undefined,
  };
  if (fields.some(([key]) => key.startsWith('rope.'))) Object.assign(config, readScaling(get, scaling, file));
  Object.assign(config, readMultipliers(gguf, get));
  config.vocab_size = shapes.get('token_embd.weight')?.[0];
  config.tie_word_embeddings = gguf.isHeadless || !shapes.has('output.weight');
  for (const which of ['bos', 'eos', 'padding']) {
    const id = header.metadata.get(`tokenizer.ggml.${which}_token_id`);
    if (typeof id === 'number') config[`${which.slice(0, 3)}_token_id`] = id;
  }
  return config;
}

/** Number of token types, which llama.cpp needs of encoders; the first is that of all tokens. */
const TOKEN_TYPES = 'tokenizer.ggml.token_type_count';

/** Scales and limits of other architectures, by the config fields for which running a model is refused. */
const MULTIPLIERS: Readonly<Record<string, string>> = {
  logit_scale: 'logits_scaling',
  embedding_scale: 'embedding_multiplier',
  residual_scale: 'residual_multiplier',
  'attention.scale': 'attention_multiplier',
  'attention.clamp_kqv': 'clip_qkv',
  'attention.max_alibi_bias': 'alibi',
  attn_logit_softcapping: 'attn_logit_softcapping',
  final_logit_softcapping: 'final_logit_softcapping',
};

function readMultipliers({ fields }: GgufFamily, get: Get): Record<string, unknown> {
  const read = new Set<string>(fields.map(([key]) => key));
  const given = Object.entries(MULTIPLIERS)
    .filter(([key]) => !read.has(key))
    .map(([key, field]) => [field, get(key)]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined && value !== 0));
}

function readKey(key: Key, value: GgufValue | undefined, get: Get, file: string) {
  if (Array.isArray(value) && key.type === 'uint32') {
    for (const one of value) if (one !== 0) check(key, one, file);
    return value as readonly number[];
  }
  if (value === undefined && key.fallback) {
    const fallback = key.fallback(get);
    return fallback === undefined || fallback === 0 ? fallback : check(key, fallback, file);
  }
  // llama.cpp takes 0 as no value of what may be missing
  if (value === 0 && key.fallback) return 0;
  const checked = check(key, value, file);
  return typeof checked === 'number' && key.type === 'float32' ? shortest(checked) : checked;
}

/** Refuses values of config.json for which llama.cpp computes something else. @throws {InputError} naming the field. */
export function checkFixed({ fixed }: GgufFamily, config: Config, file: string): void {
  const type = String(config.model_type);
  for (const [field, values] of Object.entries(fixed)) {
    const value = config[field] ?? undefined;
    if (value !== undefined && !values.includes(value))
      throw new InputError(
        `config.json: llama.cpp supports ${type} with ${field} ${values.join(' or ')} only, found ${quote(value)}`,
        { file },
      );
  }
}

/** Converts a model's settings to GGUF metadata, without the tokenizer. @throws {InputError} for a value that llama.cpp does not support. */
export function writeConfig(gguf: GgufFamily, plan: ForwardPlan, file: string): GgufEntry[] {
  const entries = gguf.fields.flatMap(([name, , of]): GgufEntry[] => {
    const key: Key = KEYS[name];
    const value = of ? of(plan) : key.of(plan);
    const full = `${gguf.architecture}.${name}`;
    if (value === undefined && key.fallback) return [];
    if (!Array.isArray(value) && value !== 0) check(key, value as number, `${file}, ${full}`);
    return [{ key: full, type: key.type, value: value! }];
  });
  const types: GgufEntry[] = gguf.isHeadless
    ? [{ key: TOKEN_TYPES, type: 'uint32', value: plan.embedding.types ?? 1 }]
    : [];
  return [...entries, ...writeScaling(gguf, plan), ...writeWindows(gguf, plan), ...types];
}

/** Returns a value of the key's type. @throws {InputError} when it has another type or is out of range. */
function check({ type }: Key, value: unknown, file: string): number | boolean {
  if (type === 'bool') {
    if (typeof value === 'boolean') return value;
    throw new InputError(`expected true or false, found ${quote(value)}`, { file });
  }
  const whole = type === 'uint32';
  if (typeof value === 'number' && value > 0 && value < 2 ** 32 && (!whole || Number.isInteger(value)))
    return value;
  throw new InputError(`expected a positive ${whole ? 'integer' : 'number'}, found ${quote(value)}`, {
    file,
  });
}
