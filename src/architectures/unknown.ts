import type { TensorInfo } from '../core/model.js';
import type { Role } from './roles.js';

/** The first pattern that matches a tensor's name determines its role. */
type RoleRule = readonly [pattern: RegExp, role: Role];

/** Common tensor names; the order decides names that match twice, such as `attention.output.LayerNorm`. */
const NAMES: readonly RoleRule[] = [
  [/(^|[._])(masked_bias|inv_freq|position_ids|token_type_ids|causal_mask|attention_mask)$/, 'buffer'],
  [
    /(^|[._])(wpe|position_embd|position_embeddings?|embed_positions|rel_embeddings|pos_emb(ed(ding)?)?s?)([._]|$)/,
    'position embedding',
  ],
  [/(^|[._])(ln|ln\d|ln_\w+|norm\w*|\w*lay(e?)r_?norm|\w*_norm)([._]|$)/i, 'norm'],
  [
    /(^|[._])(lm_head|embed_out|classifier|qa_outputs|pooler|score|head|cls(?!_token)|(text|visual)_projection)([._]|$)|^output\.weight$/,
    'head',
  ],
  // T5 and BART have a shared embedding; shared experts are an MLP
  [
    /(^|[._])(wte|embed_tokens|embed_in|token_embd|(word|tok|token)_embeddings?)([._]|$)|(^|\.)(shared|embeddings)\.weight$/,
    'token embedding',
  ],
  [/(attn|attention|(^|[._])[qkvo]_proj\b|query_key_value)/i, 'attention'],
  [
    /(mlp|ffn|feed_?forward|experts|(^|[._])fc\d?\b|(gate|up|down)_proj|dense_h_to|dense_4h|intermediate|output\.dense|DenseReluDense)/i,
    'MLP',
  ],
];

/** Guesses a tensor's role in an unknown architecture from its name and shape. */
export function guessRole({ name, shape }: Pick<TensorInfo, 'name' | 'shape'>): Role {
  if (isCausalMask(name, shape)) return 'buffer';
  return NAMES.find(([pattern]) => pattern.test(name))?.[1] ?? 'other';
}

/** Returns whether a shape is that of a stored mask, [1, 1, n, n]. Masks are often named `bias`, but no bias has that shape. */
function isCausalMask(name: string, [one, another, rows, columns, ...more]: readonly number[]): boolean {
  return one === 1 && another === 1 && rows === columns && !more.length && /(bias|mask)$/.test(name);
}
