import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import { quote } from '../../core/json.js';

/** Returns a positive number of the config, or the fallback. @throws {InputError} when it is anything else. */
export function number(config: Config, key: string, fallback: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
  throw new InputError(`config.json: expected ${key} to be a positive number, found ${quote(value)}`);
}

/** Returns a positive integer of the config, or the fallback. @throws {InputError} when it is anything else. */
export function integer(config: Config, key: string, fallback: number): number {
  const value = number(config, key, fallback);
  if (Number.isSafeInteger(value)) return value;
  throw new InputError(`config.json: expected ${key} to be an integer, found ${value}`);
}

/** Refuses unsupported settings. @throws {InputError} naming the first. */
export function refuse(config: Config, settings: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [key, refused] of Object.entries(settings))
    if (refused.includes(config[key]))
      throw new InputError(`config.json: unsupported setting ${key} = ${quote(config[key])}`);
}

/**
 * Settings of other families that change the computation, each with its neutral values. A checkpoint with a supported family's name and
 * one of these settings would be computed wrongly.
 */
const FOREIGN: Readonly<Record<string, readonly unknown[]>> = {
  logits_scaling: [1],
  logit_scale: [1],
  embedding_multiplier: [1],
  residual_multiplier: [1],
  attention_multiplier: [],
  scale_emb: [1],
  final_logit_softcapping: [],
  attn_logit_softcapping: [],
  query_pre_attn_scalar: [],
  clip_qkv: [],
  alibi: [false],
  qk_layernorm: [false],
  use_qk_norm: [false],
  no_rope_layers: [],
  rotary_interleaved: [false],
  rope_interleaved: [false],
  num_local_experts: [0, 1],
  num_experts: [0, 1],
  n_routed_experts: [0, 1],
};

/** Refuses settings that no family here supports. @throws {InputError} naming the first. */
export function refuseForeign(config: Config): void {
  for (const [key, harmless] of Object.entries(FOREIGN)) {
    const value = config[key] ?? undefined;
    if (value !== undefined && !harmless.includes(value) && !isEmpty(value))
      throw new InputError(`config.json: unsupported setting ${key} = ${quote(value)}`);
  }
}

const isEmpty = (value: unknown) => typeof value === 'object' && Object.keys(value as object).length === 0;
