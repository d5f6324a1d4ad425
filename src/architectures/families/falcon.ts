import type { Family } from '../family.js';
import { rotary } from '../layers.js';
import { alibiSlopes } from '../masks.js';
import type { DistanceBias, Projection } from '../settings.js';
import { layerNorm } from './gpt2.js';
import { decoder, everyLayer } from './llama.js';

/** Falcon and Falcon-RW: three orders of norms, shared or grouped keys, rotary positions or ALiBi. */
export const falcon: Family = {
  name: 'Falcon',
  modelTypes: ['falcon', 'RefinedWebModel', 'RefinedWeb'],
  classes: /^(Falcon|RW)(?!H1|Mamba)/,
  prefixes: ['transformer.'],
  layer: 'h.*.',
  tiedByDefault: true,
  defaults: { positions: 2048 },
  copies: { 'lm_head.weight': 'word_embeddings.weight' },
  names: {
    tokens: 'word_embeddings',
    attentionNorm: 'input_layernorm',
    qkv: 'self_attention.query_key_value',
    o: 'self_attention.dense',
    mlpNorm: 'post_attention_layernorm',
    up: 'mlp.dense_h_to_4h',
    down: 'mlp.dense_4h_to_h',
    finalNorm: 'ln_f',
    output: 'lm_head',
  },
  otherNames: { ln_attn: 'attentionNorm', ln_mlp: 'mlpNorm' },
  settings: (c, size) => {
    const grouped = c.flag('new_decoder_architecture', false);
    const shared = c.flag('multi_query', true);
    const keyValueHeads = grouped ? c.integer('num_kv_heads', size.heads) : shared ? 1 : size.heads;
    const projection: Projection = { kind: !grouped && shared ? 'fused' : 'grouped' };
    const parallel = c.flag('parallel_attn', true) || grouped;
    const bias = c.flag('bias', false);
    const norm = layerNorm(c);
    const norms = c.integer('num_ln_in_parallel_attn', grouped ? 2 : 1);
    const alibi = c.flag('alibi', false);
    const turned = rotary(c, size.headSize, { whole: true });
    const positions = alibi ? { bias: penalty(size.heads, size.headSize) } : { rotary: turned };
    const settings = decoder(
      c,
      { ...size, keyValueHeads },
      {
        norm,
        positions: everyLayer(size, positions),
        attention: { projection, bias, outputBias: bias, maskByHead: alibi },
        mlp: { gate: 'none', bias, activation: c.text('activation', 'gelu') },
        layer: parallel
          ? { order: 'parallel', norms: { attention: norm, ...(norms === 2 && { mlp: norm }) } }
          : {},
      },
    );
    return norms === 2 ? { ...settings, names: { attentionNorm: 'ln_attn', mlpNorm: 'ln_mlp' } } : settings;
  },
};

/** Returns Falcon's penalty for distance: ALiBi before the scores are scaled, computed in bfloat16. */
function penalty(heads: number, headSize: number): DistanceBias {
  const slopes = alibiSlopes(heads).map(toBf16);
  return { heads, of: (head, key) => toBf16(slopes[head]! * key) / Math.sqrt(headSize) };
}

const bits = new DataView(new ArrayBuffer(4));

function toBf16(value: number): number {
  bits.setFloat32(0, value);
  const whole = bits.getUint32(0);
  bits.setUint32(0, (whole + 0x7fff + ((whole >>> 16) & 1)) & 0xffff0000);
  return bits.getFloat32(0);
}
