import { requireDimensions } from '../architectures/dimensions.js';
import { embeddingsAreTied, findFamily } from '../architectures/registry.js';
import { parameterShapes } from '../architectures/shapes.js';
import { elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { Config } from '../core/json.js';
import type { TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { contradicted, judge, type Statement, show, supported, unknown } from './verdict.js';

/** Number of parameters of a known architecture, by kind. */
export interface ParameterCount {
  readonly family: string;
  /** All parameters, tied embeddings once, without buffers. */
  readonly unique: number;
  /** Number of two-dimensional tensors. */
  readonly matrices: number;
  /** Weights in one-dimensional tensors: norms and biases. */
  readonly vectors: number;
  /** Weights of the last norm's scale, included in `vectors`. */
  readonly lastNorm: number;
  /** Weights of a tied head, which `unique` does not count twice. */
  readonly tiedHead: number;
  /** Elements of the causal masks in older checkpoints: the square of the context per layer. */
  readonly masks: number;
}

/** Counts the parameters that a config implies; undefined for an incomplete config or an unknown family. */
export function countParameters(config: Config): ParameterCount | undefined {
  const family = findFamily(config);
  if (!family) return undefined;
  try {
    const size = requireDimensions(config);
    const tied = embeddingsAreTied(config) ?? false;
    const shapes = parameterShapes(config).map(({ shape }) => shape);
    const elements = (dimensions: (n: number) => boolean) =>
      shapes.filter(({ length }) => dimensions(length)).reduce((sum, shape) => sum + elementCount(shape), 0);
    return {
      family: family.name,
      unique: elements(() => true),
      matrices: shapes.filter(({ length }) => length > 1).length,
      vectors: elements((n) => n === 1),
      lastNorm: size.hiddenSize,
      tiedHead: tied ? size.vocabulary * size.hiddenSize : 0,
      masks: size.layers * size.positions ** 2,
    };
  } catch {
    return undefined;
  }
}

/** Compares a claimed number of parameters with the architecture's, and recognizes common miscounts. */
export function checkParameters(claimed: number, count: ParameterCount): Statement {
  const { family, unique } = count;
  const claim = `the model has ${show(claimed)} parameters`;
  if (claimed === unique) return judge(true, claim, `matches the ${family} architecture`);
  if (isRounded(claimed, unique))
    return judge(true, claim, `the ${family} architecture has ${show(unique)}; rounded`);
  const found = miscounts(count).find(({ sum }) => isRounded(claimed, sum));
  const how = found ? `; ${show(found.sum)} with ${found.how.join(', ')}` : '';
  return judge(false, claim, `the ${family} architecture has ${show(unique)}${how}`);
}

/** Returns whether a claim is a number rounded or truncated to the claim's digits: 1,300,000,000 for 1,315,575,808, but not 1,316,000,001. */
function isRounded(claimed: number, exact: number): boolean {
  const zeros = /0*$/.exec(claimed.toFixed(0))![0].length;
  const unit = 10 ** zeros;
  return Math.abs(claimed - exact) <= unit / 2 || (claimed <= exact && exact < claimed + unit);
}

interface Miscount {
  readonly sum: number;
  readonly how: readonly string[];
}

/** Returns common miscounts: every combination of parts that are often counted twice or left out. */
function miscounts({ unique, tiedHead, masks, vectors, lastNorm }: ParameterCount): Miscount[] {
  const choices: readonly (readonly [change: number, how: string])[][] = [
    [[tiedHead, 'the tied head counted twice']],
    [[masks, 'causal masks counted']],
    [
      [-vectors, 'norms and biases left out'],
      [lastNorm - vectors, "norms and biases left out except the last norm's scale"],
    ],
  ];
  const found: Miscount[] = [{ sum: unique, how: [] }];
  for (const options of choices)
    for (const { sum, how } of [...found])
      for (const [change, also] of options)
        if (change) found.push({ sum: sum + change, how: [...how, also] });
  return found;
}

/** Compares the total size of a model's matrices with its architecture's, allowing for stored masks and a stored tied head. */
export function checkMatrices(tensors: readonly TensorInfo[], count: ParameterCount): Statement {
  const matrices = tensors.filter(({ shape }) => shape.length > 1);
  const stored = sumOf(matrices, ({ shape }) => elementCount(shape));
  const { family, unique, vectors, tiedHead, masks } = count;
  const expected = unique - vectors;
  const claim = 'the matrices have the size of the architecture';
  const because = `${show(stored)} weights in matrices; ${family} with this config has ${show(expected)}`;
  const also = [0, tiedHead, masks, tiedHead + masks];
  if (also.some((more) => stored === expected + more)) return supported(claim, because);
  // quantizers pack several weights into an integer, and add scales
  const packed = matrices.some(({ dtype }) => !canWiden(dtype));
  if (packed) return unknown(claim, `${because}; some are integers, which may pack several weights`);
  return stored > expected ? unknown(claim, because) : contradicted(claim, because);
}

/** Converts metadata of a report, such as layers, hidden size and vocabulary, to a config with Hugging Face's keys. */
export function configFrom(metadata: ReadonlyMap<string, unknown>, path: string): Config | undefined {
  const get = (...names: string[]) => {
    for (const name of names) {
      const value = metadata.get(path ? `${path}.${name}` : name);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const type =
    MODEL_TYPES[
      String(get('model_type', 'architecture') ?? '')
        .toLowerCase()
        .replaceAll(/[^a-z0-9]/g, '')
    ];
  if (!type) return undefined;
  return {
    model_type: type,
    num_hidden_layers: get('num_hidden_layers', 'num_layers', 'n_layer', 'layers'),
    num_layers: get('num_layers', 'layers', 'n_layer', 'num_hidden_layers'),
    n_layer: get('n_layer', 'layers'),
    hidden_size: get('hidden_size', 'n_embd'),
    n_embd: get('n_embd', 'hidden_size'),
    vocab_size: get('vocab_size'),
    max_position_embeddings: get('max_position_embeddings', 'n_positions', 'context_length'),
    n_positions: get('n_positions', 'context_length'),
    // the count does not depend on it unless heads share keys and values
    num_attention_heads: get('num_attention_heads', 'num_heads', 'n_head') ?? 1,
    intermediate_size: get('intermediate_size'),
  };
}

const MODEL_TYPES: Readonly<Record<string, string>> = {
  gptneo: 'gpt_neo',
  gpt2: 'gpt2',
  gptneox: 'gpt_neox',
  llama: 'llama',
  qwen2: 'qwen2',
  roberta: 'roberta',
};
