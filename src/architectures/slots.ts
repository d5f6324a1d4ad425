import type { Role } from './roles.js';

/** What a tensor is for: its role, and its usual name in GGUF. Names of layers follow `blk.*.`, those of experts are of their stack. */
export const SLOTS = {
  tokens: ['token embedding', 'token_embd'],
  positions: ['position embedding', 'position_embd'],
  tokenTypes: ['other', 'token_types'],
  embeddingNorm: ['norm', 'token_embd_norm'],
  projectIn: ['other', ''],
  projectOut: ['other', ''],
  finalNorm: ['norm', 'output_norm'],
  relative: ['attention', 'attn_rel_b'],
  output: ['head', 'output'],
  headDense: ['head', 'cls'],
  headNorm: ['head', 'cls.norm'],
  headBias: ['head', 'cls.output'],
  attentionNorm: ['norm', 'attn_norm'],
  attentionOutNorm: ['norm', 'post_attention_norm'],
  mlpNorm: ['norm', 'ffn_norm'],
  mlpOutNorm: ['norm', 'post_ffw_norm'],
  q: ['attention', 'attn_q'],
  k: ['attention', 'attn_k'],
  v: ['attention', 'attn_v'],
  qkv: ['attention', 'attn_qkv'],
  o: ['attention', 'attn_output'],
  qNorm: ['norm', 'attn_q_norm'],
  kNorm: ['norm', 'attn_k_norm'],
  sinks: ['attention', 'attn_sinks'],
  qA: ['attention', 'attn_q_a'],
  qANorm: ['norm', 'attn_q_a_norm'],
  qB: ['attention', 'attn_q_b'],
  kvA: ['attention', 'attn_kv_a_mqa'],
  kvANorm: ['norm', 'attn_kv_a_norm'],
  kvB: ['attention', 'attn_kv_b'],
  convIn: ['other', 'shortconv.in_proj'],
  conv: ['other', 'shortconv.conv'],
  convOut: ['other', 'shortconv.out_proj'],
  gate: ['MLP', 'ffn_gate'],
  up: ['MLP', 'ffn_up'],
  gateUp: ['MLP', 'ffn_up'],
  down: ['MLP', 'ffn_down'],
  router: ['MLP', 'ffn_gate_inp'],
  choiceBias: ['MLP', 'exp_probs_b'],
  expertGate: ['MLP', 'ffn_gate_exps'],
  expertUp: ['MLP', 'ffn_up_exps'],
  expertGateUp: ['MLP', 'ffn_gate_up_exps'],
  expertDown: ['MLP', 'ffn_down_exps'],
  sharedGate: ['MLP', 'ffn_gate_shexp'],
  sharedUp: ['MLP', 'ffn_up_shexp'],
  sharedDown: ['MLP', 'ffn_down_shexp'],
  sharedRouter: ['MLP', 'ffn_gate_inp_shexp'],
} as const satisfies Readonly<Record<string, readonly [role: Role, gguf: string]>>;

export type Slot = keyof typeof SLOTS;

/** Slots of the head, which checkpoints name without the family's prefix. */
export const HEAD_SLOTS: ReadonlySet<Slot> = new Set(['output', 'headDense', 'headNorm', 'headBias']);

/** Slots that occur once in a model; all others occur in each layer. */
export const MODEL_SLOTS: ReadonlySet<Slot> = new Set<Slot>([
  ...HEAD_SLOTS,
  'tokens',
  'positions',
  'tokenTypes',
  'embeddingNorm',
  'projectIn',
  'projectOut',
  'finalNorm',
  'relative',
]);

/** The matrices of experts: `*` in their names stands for the expert. */
export const EXPERT_SLOTS: ReadonlySet<Slot> = new Set<Slot>([
  'expertGate',
  'expertUp',
  'expertGateUp',
  'expertDown',
]);

/** Names of a family's tensors without `.weight` or `.bias`: of a layer after its prefix, others after the family's. */
export type Names = { readonly [slot in Slot]?: string };
