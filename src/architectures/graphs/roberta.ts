import { findActivation } from '../../onnx/activations.js';
import type { ForwardFamily } from '../forward.js';
import { roberta as names } from '../roles/roberta.js';
import { integer, number, refuse } from './config.js';
import { outputMatrix } from './head.js';

/** RoBERTa, CodeBERT and XLM-RoBERTa: post-norm encoders with full attention. */
export const roberta: ForwardFamily = {
  modelTypes: names.modelTypes,
  plan: (config, size) => {
    refuse(config, {
      position_embedding_type: ['relative_key', 'relative_key_query'],
      is_decoder: [true],
      add_cross_attention: [true],
    });
    const { hiddenSize, intermediateSize, positions, vocabulary } = size;
    const epsilon = number(config, 'layer_norm_eps', 1e-12);
    const activation = findActivation(config.hidden_act ?? 'gelu');
    const reserved = names.reservedPositions!(config);
    return {
      kind: 'masked',
      context: positions - reserved,
      firstPosition: reserved,
      layerPrefix: (layer) => `encoder.layer.${layer}.`,
      copies: {
        'lm_head.decoder.weight': 'embeddings.word_embeddings.weight',
        'lm_head.decoder.bias': 'lm_head.bias',
      },
      // the pooler gives sentence embeddings; masked tokens are predicted without it
      unneeded: /^(embeddings\.(position_ids|token_type_ids)|pooler\.dense\.(weight|bias))$/,
      embed: (g, tokens, position) => {
        const table = (name: string, rows: number) =>
          g.weight(`embeddings.${name}_embeddings.weight`, [rows, hiddenSize]);
        const types = table('token_type', integer(config, 'type_vocab_size', 1));
        const sum = g.add(
          g.gather(table('word', vocabulary), tokens),
          g.gather(table('position', positions), position()),
        );
        // all tokens have type 0
        return g.layerNorm(
          g.add(sum, g.gather(types, g.integer(0))),
          'embeddings.LayerNorm',
          hiddenSize,
          epsilon,
        );
      },
      block: (g, x, attend) => {
        const project = (part: string) => g.linear(x, `attention.self.${part}`, hiddenSize, hiddenSize);
        const mixed = attend(project('query'), project('key'), project('value'));
        const dense = g.linear(mixed, 'attention.output.dense', hiddenSize, hiddenSize);
        const attended = g.layerNorm(g.add(x, dense), 'attention.output.LayerNorm', hiddenSize, epsilon);
        const inner = activation(g, g.linear(attended, 'intermediate.dense', intermediateSize, hiddenSize));
        const outer = g.linear(inner, 'output.dense', hiddenSize, intermediateSize);
        return g.layerNorm(g.add(attended, outer), 'output.LayerNorm', hiddenSize, epsilon);
      },
      head: (g, x) => {
        const dense = findActivation('gelu')(g, g.linear(x, 'lm_head.dense', hiddenSize, hiddenSize));
        const normed = g.layerNorm(dense, 'lm_head.layer_norm', hiddenSize, epsilon);
        const matrix = outputMatrix(
          g,
          config,
          size,
          'embeddings.word_embeddings.weight',
          'lm_head.decoder.weight',
        );
        return g.add(g.matmulTransposed(normed, matrix), g.weight('lm_head.bias', [vocabulary]));
      },
    };
  },
};
