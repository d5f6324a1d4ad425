import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { quote } from '../../core/json.js';
import type { Field, GgufFamily } from './family.js';
import type { GgufHeader, GgufValue } from './header.js';
import type { GgufEntry } from './header-writer.js';
import { readScaling, writeScaling } from './rope.js';

/**
 * Converts a GGUF file's metadata to a config.json, for a known architecture.
 * @throws {InputError} when a key is missing or has the wrong type or value.
 */
export function readConfig(family: GgufFamily, header: GgufHeader, file: string): Record<string, unknown> {
  const { architecture, fixed, fields, modelType, className } = family;
  const config: Record<string, unknown> = { architectures: [className], model_type: modelType };
  for (const rule of fields) {
    const key = `${architecture}.${rule.key}`;
    const value = readField(rule, header.metadata.get(key), config, `${file}, ${key}`);
    if (config[rule.field] !== undefined && config[rule.field] !== value)
      throw new InputError(`${key}: expected ${quote(config[rule.field])}, found ${quote(value)}`, { file });
    config[rule.field] = value;
  }
  for (const [field, [value]] of Object.entries(fixed)) config[field] = value;
  Object.assign(config, readScaling(architecture, header.metadata, file));
  Object.assign(config, readMultipliers(architecture, header.metadata));
  Object.assign(config, family.fromTensors?.(new Set(header.tensors.map(({ name }) => name))));
  const embedding = header.tensors.find(({ name }) => name === 'token_embd.weight');
  config.vocab_size = embedding?.shape[0];
  config.tie_word_embeddings = !header.tensors.some(({ name }) => name === 'output.weight');
  for (const which of ['bos', 'eos', 'padding']) {
    const id = header.metadata.get(`tokenizer.ggml.${which}_token_id`);
    if (typeof id === 'number') config[`${which.slice(0, 3)}_token_id`] = id;
  }
  return config;
}

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

function readMultipliers(architecture: string, metadata: GgufHeader['metadata']): Record<string, unknown> {
  const given = Object.entries(MULTIPLIERS).map(([key, field]) => [
    field,
    metadata.get(`${architecture}.${key}`),
  ]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined && value !== 0));
}

function readField(rule: Field, value: GgufValue | undefined, config: Config, file: string): unknown {
  if (value === undefined) return check(rule, rule.fallback?.(config), file);
  check(rule, value, file);
  const number = rule.type === 'float32' ? shortest(value as number) : value;
  return rule.read ? rule.read(number as number, config) : number;
}

/**
 * Converts a config to GGUF metadata, without the tokenizer.
 * @throws {InputError} when a field is missing, or has a value that llama.cpp does not support.
 */
export function writeConfig(family: GgufFamily, config: Config, file: string): GgufEntry[] {
  for (const [field, values] of Object.entries(family.fixed)) {
    const value = config[field];
    if (value !== undefined && !values.includes(value))
      throw new InputError(
        `config.json: llama.cpp supports ${family.modelType} with ${field} ${values.join(' or ')} only, found ${quote(value)}`,
        { file },
      );
  }
  const entries = family.fields.map((rule): GgufEntry => {
    const place = `${file}, config.json, ${rule.field}`;
    const given = rule.value ? rule.value(config) : config[rule.field];
    const value = check(rule, given ?? rule.fallback?.(config), place);
    const written = rule.write ? rule.write(value as number, config) : value;
    return { key: `${family.architecture}.${rule.key}`, type: rule.type, value: written };
  });
  return [...entries, ...writeScaling(family.architecture, config)];
}

/** Returns a value of the rule's type. @throws {InputError} when it has another type or is out of range. */
function check({ type, write }: Field, value: unknown, file: string): number | boolean {
  if (type === 'bool') {
    if (typeof value === 'boolean') return value;
    throw new InputError(`expected true or false, found ${quote(value)}`, { file });
  }
  const whole = type === 'uint32' && !write;
  if (typeof value === 'number' && value > 0 && value < 2 ** 32 && (!whole || Number.isInteger(value)))
    return value;
  throw new InputError(`expected a positive ${whole ? 'integer' : 'number'}, found ${quote(value)}`, {
    file,
  });
}

/** Returns the shortest decimal number that rounds to a float32 value, such as 1e-5. */
export function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return value;
}
