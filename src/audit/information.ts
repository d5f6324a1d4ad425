import { elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { randomNumbers } from '../core/random.js';
import type { Artifact, Numbers } from './artifact.js';
import { boundOn, correlate, shuffled, significance } from './correlation.js';
import { runOf } from './sampling.js';
import { contradicted, type Statement, show, supported, unknown } from './verdict.js';
import { type TensorWeights, type View, viewsOf } from './views.js';

const PERMUTATIONS = 200;
const CONFIDENCE = 0.99;
/** The 99 % quantile of the standard normal distribution. */
const QUANTILE = 2.326;
const MIN_VALUES = 16;
/** Weights that are read of a tensor, and of all together; of more, only the first. */
const MOST_OF_TENSOR = 2 ** 22;
const MOST_OF_ALL = 2 ** 25;
const FIRST = 2 ** 12;
/** Lists that are compared, and those beside each that may be its indices. */
const MAX_LISTS = 1024;
const MAX_NEIGHBORS = 8;

/** A list, and what it is compared with. */
interface Pair {
  readonly list: Numbers;
  readonly views: readonly View[];
}

/**
 * Whether numbers of unknown meaning say anything of a model's weights: their correlation with those of tensors that they are named after
 * (or of the same size or place), in several orders and transformed, against what permuted weights give.
 * @param formulas lists that are known to follow from a formula.
 */
export async function informationStatements(
  artifact: Artifact,
  model: Model,
  formulas: ReadonlySet<Numbers>,
): Promise<Statement[]> {
  const claim = 'the file carries information about the weights';
  const candidates = artifact.numbers.filter(({ count }) => count >= MIN_VALUES);
  if (candidates.length && candidates.every((list) => formulas.has(list)))
    return [
      contradicted(
        claim,
        `all ${candidates.length} lists of ${MIN_VALUES} numbers or more are formulas of their index or of a seed, which no weight enters`,
      ),
    ];
  const others = candidates.filter((list) => !formulas.has(list));
  const pairs = await pairsOf(others.slice(0, MAX_LISTS), artifact.numbers, model);
  if (!pairs.length)
    return [
      unknown(
        claim,
        `no list of ${MIN_VALUES} numbers or more belongs to a tensor by its name, size or place`,
      ),
    ];
  const { chance, because } = weigh(pairs);
  const parameters = model.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const needed = `half of the energy of ${show(parameters)} weights takes ${show(parameters / 2)}`;
  const arithmetic = `${because}; ${needed}`;
  if (chance <= 1 - CONFIDENCE) return [supported(claim, arithmetic)];
  return [unknown(claim, `${arithmetic}; other orders and codes were not looked for`)];
}

/** The largest correlation, how often chance gives it, and what follows from it. */
function weigh(pairs: readonly Pair[]) {
  const all = pairs.flatMap(({ list, views }) =>
    views.map((view) => ({ list, view, found: strength(view) })),
  );
  const best = all.reduce((most, one) => (one.found > most.found ? one : most));
  const random = randomNumbers(1);
  let reached = 0;
  for (let i = 0; i < PERMUTATIONS; i++)
    if (all.some(({ view }) => strength({ ...view, weights: shuffled(view.weights, random) }) >= best.found))
      reached++;
  const chance = (reached + 1) / (PERMUTATIONS + 1);
  const values = pairs.reduce((sum, { list }) => sum + list.count, 0);
  const bits = pairs.reduce((sum, pair) => sum + mostInformation(pair), 0);
  const { list, weights, name } = best.view;
  const because = [
    `the largest of ${all.length} correlations is ${show(correlate(list, weights))}, of ${best.list.name} with ${name}`,
    `permuted weights reach it with probability ${show(chance)}`,
    `at ${CONFIDENCE * 100} % confidence such correlations tell at most ${show(Math.round(bits))} bits of the weights in ${show(values)} numbers`,
  ].join('; ');
  return { chance, because };
}

function strength({ list, weights }: View): number {
  return significance(correlate(list, weights), list.length);
}

/** Bits that all numbers of a list could tell, were the largest correlation as large as the confidence bound allows. */
function mostInformation({ list, views }: Pair): number {
  const each = (view: View) => -0.5 * Math.log2(1 - boundOn(strength(view), QUANTILE, view.list.length) ** 2);
  return list.count * Math.max(...views.map(each));
}

/** Of fewer numbers, as whitening leaves them, no correlation is more than chance. */
function isTelling({ list }: View): boolean {
  return list.length >= MIN_VALUES / 2;
}

async function pairsOf(
  lists: readonly Numbers[],
  numbers: readonly Numbers[],
  model: Model,
): Promise<Pair[]> {
  const tensors = model.tensors.filter(({ dtype }) => canWiden(dtype));
  const beside = byParent(numbers);
  const pairs: Pair[] = [];
  let read = 0;
  for (const list of lists) {
    const tensor = named(list, tensors) ?? sized(list, tensors) ?? placed(list, numbers, tensors);
    if (!tensor) continue;
    const weights = await weightsOf(model, tensor, read < MOST_OF_ALL);
    read += weights.values.length;
    if (weights.values.length < MIN_VALUES) continue;
    const neighbors = beside.get(parentOf(list))!.slice(0, MAX_NEIGHBORS);
    pairs.push({ list, views: viewsOf(list, neighbors, weights).filter(isTelling) });
  }
  return pairs;
}

async function weightsOf(model: Model, tensor: TensorInfo, all: boolean): Promise<TensorWeights> {
  const count = elementCount(tensor.shape);
  const taken = all && count <= MOST_OF_TENSOR ? count : Math.min(count, FIRST);
  const width = tensor.shape.at(-1) ?? 1;
  return { values: await runOf(model, tensor, 0, taken), width, whole: taken === count };
}

function byParent(numbers: readonly Numbers[]): Map<string, Numbers[]> {
  const lists = new Map<string, Numbers[]>();
  for (const list of numbers) {
    const others = lists.get(parentOf(list));
    if (others) others.push(list);
    else lists.set(parentOf(list), [list]);
  }
  return lists;
}

const parentOf = ({ name }: Numbers) => name.slice(0, Math.max(0, name.lastIndexOf('.')));

type Tensors = readonly TensorInfo[];

/** The tensor whose name is a part of the list's path, the longest of those. */
function named({ name }: Numbers, tensors: Tensors): TensorInfo | undefined {
  return tensors
    .filter((tensor) => `.${name}.`.includes(`.${tensor.name}.`))
    .sort((a, b) => b.name.length - a.name.length)[0];
}

/** The only tensor with as many weights as the list has numbers. */
function sized({ count }: Numbers, tensors: Tensors): TensorInfo | undefined {
  const same = tensors.filter(({ shape }) => elementCount(shape) === count);
  return same.length === 1 ? same[0] : undefined;
}

/** The matrix at the list's place, where there are as many lists as matrices. */
function placed(list: Numbers, numbers: readonly Numbers[], tensors: Tensors): TensorInfo | undefined {
  const matrices = tensors.filter(({ shape }) => shape.length > 1);
  return numbers.length === matrices.length ? matrices[numbers.indexOf(list)] : undefined;
}
