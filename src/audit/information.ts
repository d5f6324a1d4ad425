import { fixedBasis } from '../codec/transform/bases.js';
import { multiply, transpose } from '../codec/transform/products.js';
import { elementCount } from '../formats/dtype.js';
import type { Model, TensorInfo } from '../formats/model.js';
import { randomNumbers } from '../forward/random.js';
import { readFloats } from '../forward/widen.js';
import type { Artefact, Numbers } from './artefact.js';
import { judge, type Statement, show, unknown } from './verdict.js';

/** Weights at the front of a tensor that are compared, as they are and transformed. */
const FRONT = 256;
const VIEWS = ['none', 'dct', 'dft', 'hadamard', 'haar', 'rft'] as const;
const PERMUTATIONS = 200;
const CONFIDENCE = 0.99;
/** The 99 % quantile of the standard normal distribution. */
const QUANTILE = 2.326;
const LEAST_VALUES = 16;

/**
 * Whether numbers of unknown meaning say anything of a model's weights: their correlation with the first weights of tensors that they are
 * named after (or of the same place), as they are and transformed, against what permuted weights give.
 */
export async function informationStatements(artefact: Artefact, model: Model): Promise<Statement[]> {
  const claim = 'the file carries information about the weights';
  const pairs = await pairsOf(artefact, model);
  if (!pairs.length)
    return [
      unknown(claim, `no list of ${LEAST_VALUES} numbers or more belongs to a tensor by its name or place`),
    ];
  const random = randomNumbers(1);
  const largest = (of: (pair: Pair) => number) => pairs.reduce((most, pair) => Math.max(most, of(pair)), 0);
  const found = largest((pair) => strength(pair, pair.views));
  let reached = 0;
  for (let i = 0; i < PERMUTATIONS; i++) {
    const permuted = largest((pair) =>
      strength(
        pair,
        pair.views.map((view) => shuffled(view, random)),
      ),
    );
    if (permuted >= found) reached++;
  }
  const chance = (reached + 1) / (PERMUTATIONS + 1);
  const values = pairs.reduce((sum, { list }) => sum + list.length, 0);
  const correlation = Math.tanh(found / Math.sqrt(Math.min(...pairs.map(({ list }) => list.length)) - 3));
  const bits = pairs.reduce((sum, pair) => sum + mostInformation(pair), 0);
  const parameters = model.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const because = [
    `largest of ${pairs.length * VIEWS.length} correlations in ${pairs.length} lists with weights and their ${VIEWS.slice(1).join(', ')} coefficients: ${show(correlation)}`,
    `permuted weights reach it with probability ${show(chance)}`,
    `at ${CONFIDENCE * 100} % confidence the ${show(values)} numbers compared hold at most ${show(bits)} bits of linear information about them, ${show(bits / parameters)} a weight`,
  ].join('; ');
  return [chance <= 1 - CONFIDENCE ? judge(true, claim, because) : judge(false, claim, because)];
}

interface Pair {
  readonly list: Float64Array;
  /** The weights as each transform shows them, as many as the list has. */
  readonly views: readonly Float64Array[];
}

async function pairsOf({ numbers }: Artefact, model: Model): Promise<Pair[]> {
  const pairs: Pair[] = [];
  const matrices = model.tensors.filter(({ shape }) => shape.length > 1);
  for (const [place, list] of numbers.entries()) {
    const values = realParts(list);
    if (values.length < LEAST_VALUES) continue;
    const tensor = named(list, model) ?? (numbers.length === matrices.length ? matrices[place] : undefined);
    if (!tensor) continue;
    const weights = (await readFloats(model, tensor)).subarray(0, FRONT);
    if (weights.length < FRONT) continue;
    const count = Math.min(values.length, FRONT);
    pairs.push({
      list: values.subarray(0, count),
      views: VIEWS.map((view) => viewOf(view, weights).subarray(0, count)),
    });
  }
  return pairs;
}

/** The tensor whose name is in the list's; parts of attention that a report joins are not found, which costs nothing but power. */
function named({ name }: Numbers, model: Model): TensorInfo | undefined {
  return model.tensors.find((tensor) => name.includes(tensor.name));
}

function realParts({ values, complex }: Numbers): Float64Array {
  return complex ? values.filter((_, i) => i % 2 === 0) : values;
}

function viewOf(name: (typeof VIEWS)[number], weights: Float32Array): Float64Array {
  const { real } = fixedBasis(name, FRONT);
  return multiply(Float64Array.from(weights), transpose(real, FRONT, FRONT), 1, FRONT, FRONT);
}

/** The largest of the views' Fisher-transformed correlations, in standard deviations. */
function strength({ list }: Pair, views: readonly Float64Array[]): number {
  const scale = Math.sqrt(list.length - 3);
  return views.reduce((most, view) => Math.max(most, Math.abs(Math.atanh(correlate(list, view))) * scale), 0);
}

/** Bits that all numbers of a list could tell, were the correlation as large as the confidence bound allows. */
function mostInformation({ list, views }: Pair): number {
  const found = strength({ list, views }, views);
  const most = Math.tanh((found + QUANTILE) / Math.sqrt(list.length - 3));
  return (-list.length / 2) * Math.log2(1 - most ** 2);
}

function correlate(a: Float64Array, b: Float64Array): number {
  const n = a.length;
  let [ma, mb] = [0, 0];
  for (let i = 0; i < n; i++) {
    ma += a[i]! / n;
    mb += b[i]! / n;
  }
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i]! - ma, b[i]! - mb];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? Math.max(-0.999999, Math.min(0.999999, ab / Math.sqrt(aa * bb))) : 0;
}

function shuffled(values: Float64Array, random: () => number): Float64Array {
  const copy = values.slice();
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}
