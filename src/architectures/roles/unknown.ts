import type { TensorInfo } from '../../core/model.js';
import type { Role, RoleRule } from '../family.js';

/** What tensors are called across families; the order settles names such as `attention.output.LayerNorm`. */
const NAMES: readonly RoleRule[] = [
  [/(^|[._])(masked_bias|inv_freq|position_ids|token_type_ids|causal_mask|attention_mask)$/, 'buffer'],
  [
    /(^|[._])(wpe|position_embd|position_embeddings?|embed_positions|pos_emb(ed(ding)?)?s?)([._]|$)/,
    'position embedding',
  ],
  [/(^|[._])(ln|ln\d|ln_\w+|norm\w*|\w*layer_?norm|\w*_norm)([._]|$)/i, 'norm'],
  [
    /(^|[._])(lm_head|embed_out|classifier|qa_outputs|pooler|score|head|cls)([._]|$)|^output\.weight$/,
    'head',
  ],
  // T5 and BART share one embedding; experts that all tokens share are an MLP.
  [
    /(^|[._])(wte|embed_tokens|embed_in|token_embd|(word|tok|token)_embeddings?)([._]|$)|(^|\.)shared\.weight$/,
    'token embedding',
  ],
  [/(attn|attention|(^|[._])[qkvo]_proj\b|query_key_value)/i, 'attention'],
  [
    /(mlp|ffn|feed_?forward|experts|(^|[._])fc\d?\b|(gate|up|down)_proj|dense_h_to|dense_4h|intermediate|DenseReluDense)/i,
    'MLP',
  ],
];

/** The role of a tensor of an unknown architecture, from its name and shape. */
export function guessRole({ name, shape }: Pick<TensorInfo, 'name' | 'shape'>): Role {
  if (isCausalMask(name, shape)) return 'buffer';
  return NAMES.find(([pattern]) => pattern.test(name))?.[1] ?? 'other';
}

/** Masks are stored [1, 1, n, n] and often named `bias`, which parameters of that shape never are. */
function isCausalMask(name: string, [one, another, rows, columns, ...more]: readonly number[]): boolean {
  return one === 1 && another === 1 && rows === columns && !more.length && /(bias|mask)$/.test(name);
}
