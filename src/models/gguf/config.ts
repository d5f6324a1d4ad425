import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { Config, Field, GgufFamily } from './family.js';
import type { GgufHeader, GgufValue } from './header.js';
import type { GgufEntry } from './header-writer.js';
import { readScaling, writeScaling } from './rope.js';

/**
 * The config.json that a GGUF file's metadata amount to, for an architecture whose tables are known.
 * @throws {InputError} on a key that is missing or no such number.
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

/** Numbers that other architectures multiply with or cut at, by the fields that a model is refused for when it is run. */
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
  if (value === undefined) return check(rule, rule.otherwise?.(config), file);
  check(rule, value, file);
  const number = rule.type === 'float32' ? shortest(value as number) : value;
  return rule.read ? rule.read(number as number, config) : number;
}

/**
 * The metadata of a config, without tokenizer.
 * @throws {InputError} on fields that are missing, or that ask for what llama.cpp does not compute.
 */
export function writeConfig(family: GgufFamily, config: Config, file: string): GgufEntry[] {
  for (const [field, values] of Object.entries(family.fixed)) {
    const value = config[field];
    if (value !== undefined && !values.includes(value))
      throw new InputError(
        `config.json: llama.cpp computes ${family.modelType} with ${field} ${values.join(' or ')} only, found ${quote(value)}`,
        { file },
      );
  }
  const entries = family.fields.map((rule): GgufEntry => {
    const place = `${file}, config.json, ${rule.field}`;
    const given = rule.value ? rule.value(config) : config[rule.field];
    const value = check(rule, given ?? rule.otherwise?.(config), place);
    const written = rule.write ? rule.write(value as number, config) : value;
    return { key: `${family.architecture}.${rule.key}`, type: rule.type, value: written };
  });
  return [...entries, ...writeScaling(family.architecture, config)];
}

/** @throws {InputError} when the value is none of the rule's type. */
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

/** The shortest decimal number that is this one in float32: 1e-5 for what is stored of it. */
export function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return value;
}
