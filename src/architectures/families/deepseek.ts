import { InputError } from '../../core/errors.js';
import type { ConfigReader } from '../config-reader.js';
import type { Family } from '../family.js';
import { ROPE_FIELDS, readRope } from '../rope.js';
import { rotaryOf } from '../rotary.js';
import type { Experts, Norm, Settings } from '../settings.js';
import { experts } from './experts.js';
import { biases, decoder, everyLayer, llama, type Sizes } from './llama.js';

/** The norms inside attention have this fixed number. */
const LATENT_NORM: Norm = { kind: 'rms', epsilon: 1e-6, bias: false };

/** What a config may leave out. */
interface Defaults {
  readonly size: number;
  readonly count: number;
  readonly scale: number;
  readonly shared: number;
  readonly dense: number;
}

/** Returns the settings of attention through latent vectors, and of experts in all but the first layers. */
function latent(c: ConfigReader, size: Sizes, defaults: Defaults, choice: Partial<Experts>): Settings {
  const { heads, layers } = size;
  const rotated = c.integer('qk_rope_head_dim', 64);
  const headSize = c.integer('qk_nope_head_dim', 128) + rotated;
  const bias = c.flag('attention_bias', false);
  c.skip('qk_head_dim', ...ROPE_FIELDS);
  c.only('moe_layer_freq', 1);
  const rope = readRope(c.config);
  const scoreScale = rope.scaling.type === 'yarn' ? rope.scaling.scoreScale : 1;
  const found = experts(c.integer('moe_intermediate_size', defaults.size), c.text('hidden_act', 'silu'), {
    count: c.integer('n_routed_experts', defaults.count),
    active: c.integer('num_experts_per_tok', 8),
    scale: c.number('routed_scaling_factor', defaults.scale),
    ...choice,
  });
  checkGroups(found);
  const shared = {
    ...found.expert,
    size: found.expert.size * c.integer('n_shared_experts', defaults.shared),
  };
  const mlp: Experts = { ...found, shared: { expert: shared, gated: false } };
  const dense = c.count('first_k_dense_replace', defaults.dense);
  const unneeded = c.count('num_nextn_predict_layers', 0) ? new RegExp(`^layers\\.${layers}\\.`) : undefined;
  const settings = decoder(
    c,
    { ...size, keyValueHeads: heads, headSize },
    {
      positions: everyLayer(size, { rotary: rotaryOf(rope, rotated) }),
      pairs: c.flag('rope_interleave', true) ? 'neighbors' : 'halves',
      attention: {
        valueSize: c.integer('v_head_dim', 128),
        projection: {
          kind: 'latent',
          queryRank: c.integer('q_lora_rank', undefined),
          rank: c.integer('kv_lora_rank', 512),
          rotated,
          norm: LATENT_NORM,
          bias,
        },
        outputBias: bias,
        scale: scoreScale / Math.sqrt(headSize),
      },
      mlp: biases(c).mlp!,
      each: (layer, own) => (layer < dense ? own : { ...own, mlp }),
    },
  );
  return { ...settings, ...(unneeded && { unneeded }) };
}

/** DeepSeek-V2: keys and values from a latent vector, experts chosen by groups. */
export const deepseekV2: Family = {
  ...llama,
  name: 'DeepSeek-V2',
  modelTypes: ['deepseek_v2'],
  classes: /^DeepseekV2/,
  names: {
    ...llama.names,
    qA: 'self_attn.q_a_proj',
    qANorm: 'self_attn.q_a_layernorm',
    qB: 'self_attn.q_b_proj',
    kvA: 'self_attn.kv_a_proj_with_mqa',
    kvANorm: 'self_attn.kv_a_layernorm',
    kvB: 'self_attn.kv_b_proj',
    router: 'mlp.gate',
    choiceBias: 'mlp.gate.e_score_correction_bias',
    expertGate: 'mlp.experts.*.gate_proj',
    expertUp: 'mlp.experts.*.up_proj',
    expertDown: 'mlp.experts.*.down_proj',
    sharedGate: 'mlp.shared_experts.gate_proj',
    sharedUp: 'mlp.shared_experts.up_proj',
    sharedDown: 'mlp.shared_experts.down_proj',
  },
  settings: (c, size) => {
    c.only('scoring_func', 'softmax');
    c.only('norm_topk_prob', false);
    const groups = groupsOf(c, 'largest', [1, 1]);
    const method = c.one('topk_method', 'greedy', 'group_limited_greedy');
    const defaults = { size: 1407, count: 64, scale: 1, shared: 2, dense: 0 };
    return latent(c, size, defaults, { normalize: false, ...(method !== 'greedy' && groups && { groups }) });
  },
};

/** DeepSeek-V3 and R1: a sigmoid for each expert, and a bias that only chooses. */
export const deepseekV3: Family = {
  ...deepseekV2,
  name: 'DeepSeek-V3',
  modelTypes: ['deepseek_v3'],
  classes: /^DeepseekV3(?!2)/,
  settings: (c, size) => {
    c.only('scoring_func', 'sigmoid');
    c.only('topk_method', 'noaux_tc');
    const groups = groupsOf(c, 'twoLargest', [8, 4]);
    const defaults = { size: 2048, count: 256, scale: 2.5, shared: 1, dense: 3 };
    return latent(c, size, defaults, {
      scoring: 'sigmoid',
      normalize: c.flag('norm_topk_prob', true),
      choiceBias: true,
      ...(groups && { groups }),
    });
  },
};

function groupsOf(c: ConfigReader, by: 'largest' | 'twoLargest', fallback: readonly [number, number]) {
  const [count, active] = [c.integer('n_group', fallback[0]), c.integer('topk_group', fallback[1])];
  return count > 1 ? { count, active, by } : undefined;
}

/** Checks that the chosen groups have as many experts as a token needs. @throws {InputError} */
function checkGroups({ count, active, groups }: Experts): void {
  if (!groups) return;
  const size = count / groups.count;
  if (Number.isInteger(size) && groups.active <= groups.count && groups.active * size >= active) return;
  throw new InputError(
    `config.json: ${active} experts per token cannot be chosen from ${groups.active} of ${groups.count} groups of ${count} experts`,
  );
}
