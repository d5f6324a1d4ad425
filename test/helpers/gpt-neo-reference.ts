import type { MemoryModel } from './memory-model.js';

type Matrix = Float64Array[];

/** Sees what goes into a matrix and what comes out before any bias, by the matrix' name; it may change what comes out. */
export type See = (name: string, inputs: Matrix, outputs: Matrix) => void;

/**
 * GPT-Neo's forward pass written down plainly in float64, for F32 checkpoints: logits [length, vocabulary].
 * Slow and obvious; it shares nothing with what it checks.
 */
export function gptNeoLogits(model: MemoryModel, tokens: readonly number[], see: See = () => {}): Matrix {
  const { num_layers, num_heads, attention_layers, window_size } = model.config as Record<string, never> & {
    attention_layers: readonly string[];
  };
  const weight = (name: string) => model.floats(`transformer.${name}`);
  const hidden = weight('ln_f.weight').length;
  const linear = (rows: Matrix, name: string, hasBias = true) => {
    const product = multiply(rows, weight(`${name}.weight`));
    see(`transformer.${name}.weight`, rows, product);
    return hasBias
      ? product.map((row) => row.map((value, i) => value + weight(`${name}.bias`)[i]!))
      : product;
  };
  const embedding = weight('wte.weight');
  const positions = weight('wpe.weight');
  let x: Matrix = tokens.map((token, position) =>
    Float64Array.from(
      { length: hidden },
      (_, i) => embedding[token * hidden + i]! + positions[position * hidden + i]!,
    ),
  );
  see('embedding', [], x);
  for (let layer = 0; layer < Number(num_layers); layer++) {
    const h = `h.${layer}`;
    const p = (name: string) => weight(`h.${layer}.${name}`);
    const normed = x.map((row) => norm(row, p('ln_1.weight'), p('ln_1.bias')));
    const [q, k, v] = ['q', 'k', 'v'].map((part) =>
      linear(normed, `${h}.attn.attention.${part}_proj`, false),
    );
    const window = attention_layers[layer] === 'local' ? Number(window_size) : tokens.length;
    const mixed = attention(q!, k!, v!, Number(num_heads), window);
    x = sum(x, linear(mixed, `${h}.attn.attention.out_proj`));
    const again = x.map((row) => norm(row, p('ln_2.weight'), p('ln_2.bias')));
    const inner = linear(again, `${h}.mlp.c_fc`).map((row) => row.map(gelu));
    x = sum(x, linear(inner, `${h}.mlp.c_proj`));
  }
  return linear(
    x.map((row) => norm(row, weight('ln_f.weight'), weight('ln_f.bias'))),
    'wte',
    false,
  );
}

function multiply(rows: Matrix, weight: Float32Array): Matrix {
  const inputs = rows[0]!.length;
  return rows.map((row) =>
    Float64Array.from({ length: weight.length / inputs }, (_, output) => {
      let total = 0;
      for (let i = 0; i < inputs; i++) total += weight[output * inputs + i]! * row[i]!;
      return total;
    }),
  );
}

/** Unscaled; query i sees keys i - window + 1 to i. */
function attention(q: Matrix, k: Matrix, v: Matrix, heads: number, window: number): Matrix {
  const size = q[0]!.length / heads;
  return q.map((query, i) => {
    const result = new Float64Array(query.length);
    for (let head = 0; head < heads; head++) {
      const features = Array.from({ length: size }, (_, f) => head * size + f);
      const first = Math.max(0, i - window + 1);
      const scores = k
        .slice(first, i + 1)
        .map((key) => features.reduce((total, f) => total + query[f]! * key[f]!, 0));
      const largest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - largest));
      const all = weights.reduce((total, w) => total + w, 0);
      weights.forEach((w, j) => {
        for (const f of features) result[f]! += (w / all) * v[first + j]![f]!;
      });
    }
    return result;
  });
}

function norm(row: Float64Array, weight: Float32Array, bias: Float32Array): Float64Array {
  const mean = row.reduce((total, value) => total + value, 0) / row.length;
  const variance = row.reduce((total, value) => total + (value - mean) ** 2, 0) / row.length;
  return row.map((value, i) => ((value - mean) / Math.sqrt(variance + 1e-5)) * weight[i]! + bias[i]!);
}

const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

const sum = (a: Matrix, b: Matrix): Matrix => a.map((row, i) => row.map((value, j) => value + b[i]![j]!));

/** log p of every token at one position. */
export function logProbabilities(logits: Float64Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const all = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return logits.map((logit) => logit - largest - Math.log(all));
}
