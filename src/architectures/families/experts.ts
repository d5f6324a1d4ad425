import { InputError } from '../../core/errors.js';
import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import { rotary, slidingWindow } from '../layers.js';
import type { Experts, Mlp } from '../settings.js';
import { multipliers } from './granite.js';
import { biases, decoder, everyLayer, llama, mistral, rmsNorm, type Sizes } from './llama.js';
import { qwen2, qwen3, qwenPositions } from './qwen.js';

/** Five times as many as the largest models have; a config with more is a mistake or an attack. */
const MAX_EXPERTS = 2048;

/** Returns experts that compute like Llama's MLP, with the differences of a family. */
export function experts(
  size: number,
  activation: string,
  rest: Omit<Partial<Experts>, 'kind'> & Pick<Experts, 'count' | 'active'>,
): Experts {
  const { count, active } = rest;
  if (count > MAX_EXPERTS)
    throw new InputError(`config.json: ${count} experts are over the limit of ${MAX_EXPERTS}`);
  if (active > count)
    throw new InputError(`config.json: ${active} experts per token cannot be chosen from ${count} experts`);
  const expert: Mlp = { kind: 'dense', size, activation, gate: 'separate', bias: false };
  return {
    kind: 'experts',
    scoring: 'softmax',
    normalize: true,
    scale: 1,
    choiceBias: false,
    routerBias: false,
    expert,
    stored: 'each',
    ...rest,
  };
}

/** Returns the number of experts; it has two names. */
const countOf = (c: ConfigReader, fallback: number) =>
  c.integer('num_experts', c.integer('num_local_experts', fallback));

const QWEN_NAMES = {
  router: 'mlp.gate',
  expertGate: 'mlp.experts.*.gate_proj',
  expertUp: 'mlp.experts.*.up_proj',
  expertDown: 'mlp.experts.*.down_proj',
} as const;

/** Mixtral: Mistral with experts. */
export const mixtral: Family = {
  ...mistral,
  name: 'Mixtral',
  modelTypes: ['mixtral'],
  classes: /^Mixtral/,
  names: {
    ...llama.names,
    router: 'block_sparse_moe.gate',
    expertGate: 'block_sparse_moe.experts.*.w1',
    expertUp: 'block_sparse_moe.experts.*.w3',
    expertDown: 'block_sparse_moe.experts.*.w2',
  },
  settings: (c, size) => {
    const window = slidingWindow(c);
    const turned = rotary(c, size.headSize, { whole: true, defaultBase: 1e6 });
    const mlp = experts(size.intermediateSize, c.text('hidden_act', 'silu'), {
      count: countOf(c, 8),
      active: c.integer('num_experts_per_tok', 2),
    });
    return decoder(c, size, { positions: everyLayer(size, { rotary: turned, window }), layer: { mlp } });
  },
};

/** Returns Qwen's experts, and which layers have them. */
function qwenExperts(c: ConfigReader, { layers }: Sizes, count: number, active: number, size: number) {
  const step = c.integer('decoder_sparse_step', 1);
  const dense = c.value('mlp_only_layers');
  const isDense = (layer: number) =>
    (Array.isArray(dense) && dense.includes(layer)) || (layer + 1) % step !== 0;
  const found = experts(c.integer('moe_intermediate_size', size), c.text('hidden_act', 'silu'), {
    count: countOf(c, count),
    active: c.integer('num_experts_per_tok', active),
    normalize: c.flag('norm_topk_prob', false),
  });
  return { found, sparse: Array.from({ length: layers }, (_, layer) => !isDense(layer)) };
}

/** Qwen2-MoE: Qwen2 with experts, one of which every token passes. */
export const qwen2Moe: Family = {
  ...qwen2,
  name: 'Qwen2-MoE',
  modelTypes: ['qwen2_moe'],
  classes: /^Qwen2Moe/,
  names: {
    ...llama.names,
    ...QWEN_NAMES,
    sharedGate: 'mlp.shared_expert.gate_proj',
    sharedUp: 'mlp.shared_expert.up_proj',
    sharedDown: 'mlp.shared_expert.down_proj',
    sharedRouter: 'mlp.shared_expert_gate',
  },
  settings: (c, size) => {
    const { found, sparse } = qwenExperts(c, size, 60, 4, 1408);
    const expert = { ...found.expert, size: c.integer('shared_expert_intermediate_size', 5632) };
    const mlp: Experts = { ...found, shared: { expert, gated: true } };
    return decoder(c, size, {
      positions: qwenPositions(c, size),
      attention: { bias: c.flag('qkv_bias', true) },
      each: (layer, settings) => (sparse[layer] ? { ...settings, mlp } : settings),
    });
  },
};

/** Qwen3-MoE: Qwen3 with experts. */
export const qwen3Moe: Family = {
  ...qwen3,
  name: 'Qwen3-MoE',
  modelTypes: ['qwen3_moe'],
  classes: /^Qwen3Moe/,
  names: { ...qwen3.names, ...QWEN_NAMES },
  settings: (c, size) => {
    const { found: mlp, sparse } = qwenExperts(c, size, 128, 8, 768);
    return decoder(c, size, {
      positions: qwenPositions(c, size),
      attention: { ...biases(c).attention, queryKeyNorm: { over: 'head', norm: rmsNorm(c) } },
      each: (layer, settings) => (sparse[layer] ? { ...settings, mlp } : settings),
    });
  },
};

/** OLMoE: experts, norms of all queries and keys, which may be bounded. */
export const olmoe: Family = {
  ...llama,
  name: 'OLMoE',
  modelTypes: ['olmoe'],
  classes: /^Olmoe/,
  names: { ...llama.names, ...QWEN_NAMES, qNorm: 'self_attn.q_norm', kNorm: 'self_attn.k_norm' },
  settings: (c, size) => {
    const clip = c.number('clip_qkv', undefined);
    const mlp = experts(size.intermediateSize, c.text('hidden_act', 'silu'), {
      count: countOf(c, 64),
      active: c.integer('num_experts_per_tok', 8),
      normalize: c.flag('norm_topk_prob', false),
    });
    return decoder(c, size, {
      attention: {
        ...biases(c).attention,
        queryKeyNorm: { over: 'all', norm: rmsNorm(c, 1e-5) },
        ...(clip !== undefined && { clip }),
      },
      norm: rmsNorm(c, 1e-5),
      layer: { mlp },
    });
  },
};

/** Granite-MoE: Granite with experts stored together. */
export const graniteMoe: Family = {
  ...llama,
  name: 'Granite-MoE',
  modelTypes: ['granitemoe'],
  classes: /^GraniteMoe(?!Shared|Hybrid)/,
  names: {
    ...llama.names,
    router: 'block_sparse_moe.router.layer',
    expertGateUp: 'block_sparse_moe.input_linear.weight',
    expertDown: 'block_sparse_moe.output_linear.weight',
  },
  settings: (c, size) => {
    const found = experts(size.intermediateSize, c.text('hidden_act', 'silu'), {
      count: countOf(c, 8),
      active: c.integer('num_experts_per_tok', 2),
      scoring: 'softmaxOfChosen',
      normalize: false,
      stored: 'stacked',
    });
    const mlp: Experts = { ...found, expert: { ...found.expert, gate: 'fused' } };
    c.only('position_embedding_type', 'rope');
    const granite = multipliers(c);
    return decoder(c, size, { ...granite, layer: { ...granite.layer, mlp } });
  },
};
