import { InputError } from '../../core/errors.js';
import { quote } from '../../core/json.js';
import type { Config } from '../forward.js';

/** A positive number of the config. @throws {InputError} when it is there and is something else. */
export function number(config: Config, key: string, fallback: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
  throw new InputError(`config.json: expected ${key} to be a positive number, found ${quote(value)}`);
}

/** As `number`, whole. @throws {InputError} */
export function integer(config: Config, key: string, fallback: number): number {
  const value = number(config, key, fallback);
  if (Number.isSafeInteger(value)) return value;
  throw new InputError(`config.json: expected ${key} to be an integer, found ${value}`);
}

/** Refuses settings that change the arithmetic in a way not built here. @throws {InputError} naming the first. */
export function refuse(config: Config, settings: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [key, refused] of Object.entries(settings))
    if (refused.includes(config[key]))
      throw new InputError(`config.json: models with ${key} = ${quote(config[key])} cannot be run`);
}

/**
 * Settings of other families that change numbers, each with the values that change nothing. A checkpoint that borrows a
 * family's name and sets one of them computes something else than the family does.
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

/** Refuses what no family built here computes. @throws {InputError} naming the first such field. */
export function refuseForeign(config: Config): void {
  for (const [key, harmless] of Object.entries(FOREIGN)) {
    const value = config[key] ?? undefined;
    if (value !== undefined && !harmless.includes(value) && !isEmpty(value))
      throw new InputError(`config.json: models with ${key} = ${quote(value)} cannot be run`);
  }
}

const isEmpty = (value: unknown) => typeof value === 'object' && Object.keys(value as object).length === 0;
