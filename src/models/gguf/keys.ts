import type { ForwardPlan } from '../../architectures/forward.js';
import type { Rotary } from '../../architectures/rotary.js';
import { type Attention, type Experts, isAttention, type Norm } from '../../architectures/settings.js';
import type { GgufValue } from './header.js';

/** Reads a key of the metadata, without the prefix `ARCHITECTURE.`. */
export type Get = (key: string) => GgufValue | undefined;

type Value = number | boolean | readonly number[];

/** A key of the metadata that llama.cpp reads. */
export interface Key {
  readonly type: 'uint32' | 'float32' | 'bool';
  /** Returns its value for a model; undefined if it is not written. */
  of(plan: ForwardPlan): Value | undefined;
  /** Returns what llama.cpp takes if the key is missing; undefined if the field is left out too. Without this it is required. */
  readonly fallback?: (get: Get) => number | boolean | undefined;
}

const attentionOf = ({ layers }: ForwardPlan): Attention | undefined =>
  layers.map(({ mixer }) => mixer).find(isAttention);
const expertsOf = ({ layers }: ForwardPlan): Experts | undefined =>
  layers.map(({ mlp }) => mlp).find((mlp): mlp is Experts => mlp.kind === 'experts');

/** Returns the norm that all layers have. */
const normOf = ({ layers: [first], finalNorm }: ForwardPlan): Norm | undefined =>
  finalNorm ?? first?.norms.attention;

/** Returns the rotation of layers without a window, or, where all have one, of those. */
export function rotaryOf({ positions }: ForwardPlan): Rotary | undefined {
  const turned = positions.filter(({ rotary }) => rotary);
  return (turned.find(({ window }) => window === undefined) ?? turned[0])?.rotary;
}

const slidingRotary = ({ positions }: ForwardPlan) =>
  positions.find(({ rotary, window }) => rotary && window !== undefined)?.rotary;

function feedForward({ layers, size }: ForwardPlan): number {
  for (const { mlp } of layers) if (mlp.kind === 'dense') return mlp.size;
  return size.intermediateSize;
}

/** Heads of keys, one number or, if layers without attention have none, one for each layer. */
function keyHeads({ layers }: ForwardPlan): Value {
  const all = layers.map(({ mixer }) => (isAttention(mixer) ? mixer.keyValueHeads : 0));
  return all.every((heads) => heads === all[0]) ? all[0]! : all;
}

const number = (get: Get, key: string) => {
  const value = get(key);
  return typeof value === 'number' ? value : undefined;
};
const headSize = (get: Get) => {
  const [size, heads] = [number(get, 'embedding_length'), number(get, 'attention.head_count')];
  return size && heads && size / heads;
};

const uint = (of: Key['of'], fallback?: Key['fallback']): Key => ({
  type: 'uint32',
  of,
  ...(fallback && { fallback }),
});
const float = (of: Key['of'], fallback?: Key['fallback']): Key => ({
  type: 'float32',
  of,
  ...(fallback && { fallback }),
});
const none = () => undefined;

/** The keys, without the prefix `ARCHITECTURE.`. */
export const KEYS = {
  context_length: uint((plan) => plan.context),
  embedding_length: uint(({ hiddenSize }) => hiddenSize),
  block_count: uint(({ layers }) => layers.length),
  feed_forward_length: uint(feedForward),
  'attention.head_count': uint((plan) => attentionOf(plan)?.heads),
  'attention.head_count_kv': uint(keyHeads, (get) => number(get, 'attention.head_count')),
  'attention.key_length': uint((plan) => attentionOf(plan)?.headSize, headSize),
  'attention.value_length': uint((plan) => attentionOf(plan)?.valueSize, headSize),
  'attention.layer_norm_rms_epsilon': float(
    (plan) => normOf(plan)?.epsilon,
    () => 1e-6,
  ),
  'attention.layer_norm_epsilon': float(
    (plan) => normOf(plan)?.epsilon,
    () => 1e-5,
  ),
  'attention.causal': { type: 'bool', of: ({ kind }) => kind === 'causal', fallback: () => true },
  'attention.scale': float((plan) => attentionOf(plan)?.scale, none),
  'rope.dimension_count': uint(
    (plan) => rotaryOf(plan)?.size,
    (get) => number(get, 'attention.key_length') ?? headSize(get),
  ),
  'rope.freq_base': float(
    (plan) => rotaryOf(plan)?.base,
    () => 10_000,
  ),
  'rope.freq_base_swa': float(
    (plan) => slidingRotary(plan)?.base,
    () => 10_000,
  ),
  use_parallel_residual: {
    type: 'bool',
    of: ({ layers }) => layers[0]!.order === 'parallel',
    fallback: () => true,
  },
  logit_scale: float(({ head }) => head.scale, none),
  embedding_scale: float(({ embedding }) => embedding.scale, none),
  residual_scale: float(({ layers }) => layers[0]!.branchScale, none),
  attn_logit_softcapping: float((plan) => attentionOf(plan)?.softcap, none),
  final_logit_softcapping: float(({ head }) => head.softcap, none),
  expert_count: uint((plan) => expertsOf(plan)?.count),
  expert_used_count: uint((plan) => expertsOf(plan)?.active),
  expert_feed_forward_length: uint((plan) => expertsOf(plan)?.expert.size),
  expert_shared_feed_forward_length: uint((plan) => expertsOf(plan)?.shared?.expert.size),
  expert_shared_count: uint((plan) => {
    const experts = expertsOf(plan);
    return experts?.shared && experts.shared.expert.size / experts.expert.size;
  }),
  expert_weights_scale: float(
    (plan) => expertsOf(plan)?.scale,
    () => 1,
  ),
  expert_weights_norm: {
    type: 'bool',
    of: (plan) => expertsOf(plan)?.normalize,
    fallback: () => false,
  },
  expert_group_count: uint((plan) => expertsOf(plan)?.groups?.count, none),
  expert_group_used_count: uint((plan) => expertsOf(plan)?.groups?.active, none),
  expert_gating_func: uint(
    (plan) => (expertsOf(plan)?.scoring === 'sigmoid' ? 2 : 1),
    () => 1,
  ),
  leading_dense_block_count: uint(
    ({ layers }) => layers.filter(({ mlp }) => mlp.kind === 'dense').length,
    () => 0,
  ),
  'attention.q_lora_rank': uint(
    (plan) => latentOf(plan)?.queryRank ?? 0,
    () => 0,
  ),
  'attention.kv_lora_rank': uint((plan) => latentOf(plan)?.rank),
  'attention.key_length_mla': uint((plan) => attentionOf(plan)?.headSize),
  'attention.value_length_mla': uint((plan) => attentionOf(plan)?.valueSize),
  'shortconv.l_cache': uint(({ layers }) => {
    const mixer = layers.map((layer) => layer.mixer).find((one) => !isAttention(one));
    return mixer && !isAttention(mixer) ? mixer.taps : undefined;
  }),
} as const satisfies Readonly<Record<string, Key>>;

export type KeyName = keyof typeof KEYS;

/** Returns the latent attention of a model. */
export function latentOf(plan: ForwardPlan) {
  const projection = attentionOf(plan)?.projection;
  return projection?.kind === 'latent' ? projection : undefined;
}
