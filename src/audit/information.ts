import { elementCount } from '../core/dtype.js';
import { canWiden } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { randomNumbers } from '../core/random.js';
import { sumOf } from '../core/sum.js';
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
/** Limits of weights read per tensor and in total; above them, only the first `PREFIX_WEIGHTS` are read. */
const MAX_TENSOR_WEIGHTS = 2 ** 22;
const MAX_TOTAL_WEIGHTS = 2 ** 25;
const PREFIX_WEIGHTS = 2 ** 12;
/** Limits of lists compared, and of neighboring lists that may be indices. */
const MAX_LISTS = 1024;
const MAX_NEIGHBORS = 8;

/** A list, and the views of weights that it is compared with. */
interface Pair {
  readonly list: Numbers;
  readonly views: readonly View[];
}

/**
 * Tests whether numbers carry information about a model's weights: by their correlation with the weights of the tensor of the same name,
 * size or position, in several orders and transforms, compared with permuted weights.
 * @param formulas lists that a formula gives.
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
        `all ${candidates.length} lists of at least ${MIN_VALUES} numbers are formulas of their index or a seed, without any weight`,
      ),
    ];
  const others = candidates.filter((list) => !formulas.has(list));
  const pairs = await pairsOf(others.slice(0, MAX_LISTS), artifact.numbers, model);
  if (!pairs.length)
    return [
      unknown(claim, `no list of at least ${MIN_VALUES} numbers matches a tensor by name, size or position`),
    ];
  const { chance, because } = weigh(pairs);
  const parameters = sumOf(model.tensors, ({ shape }) => elementCount(shape));
  const needed = `half of the energy of ${show(parameters)} weights takes ${show(parameters / 2)} bits`;
  const arithmetic = `${because}; ${needed}`;
  if (chance <= 1 - CONFIDENCE) return [supported(claim, arithmetic)];
  return [unknown(claim, `${arithmetic}; other orders and codes were not tested`)];
}

/** Finds the largest correlation, its probability by chance, and the information that it bounds. */
function weigh(pairs: readonly Pair[]) {
  const all = pairs.flatMap(({ list, views }) =>
    views.map((view) => ({ list, view, found: strength(view) })),
  );
  const best = all.reduce((max, one) => (one.found > max.found ? one : max));
  const random = randomNumbers(1);
  let reached = 0;
  for (let i = 0; i < PERMUTATIONS; i++)
    if (all.some(({ view }) => strength({ ...view, weights: shuffled(view.weights, random) }) >= best.found))
      reached++;
  const chance = (reached + 1) / (PERMUTATIONS + 1);
  const values = sumOf(pairs, ({ list }) => list.count);
  const bits = sumOf(pairs, (pair) => maxInformation(pair));
  const { list, weights, name } = best.view;
  const because = [
    `the largest of ${all.length} correlations is ${show(correlate(list, weights))}, between ${best.list.name} and ${name}`,
    `permuted weights reach it with probability ${show(chance)}`,
    `at ${CONFIDENCE * 100} % confidence, ${show(values)} numbers with such correlations carry at most ${show(Math.round(bits))} bits about the weights`,
  ].join('; ');
  return { chance, because };
}

function strength({ list, weights }: View): number {
  return significance(correlate(list, weights), list.length);
}

/** Returns the maximum information of a list in bits, if its largest correlation is at the confidence bound. */
function maxInformation({ list, views }: Pair): number {
  const each = (view: View) => -0.5 * Math.log2(1 - boundOn(strength(view), QUANTILE, view.list.length) ** 2);
  return list.count * Math.max(...views.map(each));
}

/** Returns whether enough numbers are left after whitening for a significant correlation. */
function isLongEnough({ list }: View): boolean {
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
    const weights = await weightsOf(model, tensor, read < MAX_TOTAL_WEIGHTS);
    read += weights.values.length;
    if (weights.values.length < MIN_VALUES) continue;
    const neighbors = beside.get(parentOf(list))!.slice(0, MAX_NEIGHBORS);
    pairs.push({ list, views: viewsOf(list, neighbors, weights).filter(isLongEnough) });
  }
  return pairs;
}

async function weightsOf(model: Model, tensor: TensorInfo, all: boolean): Promise<TensorWeights> {
  const count = elementCount(tensor.shape);
  const taken = all && count <= MAX_TENSOR_WEIGHTS ? count : Math.min(count, PREFIX_WEIGHTS);
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

/** Finds the tensor with the longest name that is part of the list's path. */
function named({ name }: Numbers, tensors: Tensors): TensorInfo | undefined {
  return tensors
    .filter((tensor) => `.${name}.`.includes(`.${tensor.name}.`))
    .sort((a, b) => b.name.length - a.name.length)[0];
}

/** Finds the only tensor with as many weights as the list has numbers. */
function sized({ count }: Numbers, tensors: Tensors): TensorInfo | undefined {
  const same = tensors.filter(({ shape }) => elementCount(shape) === count);
  return same.length === 1 ? same[0] : undefined;
}

/** Finds the matrix at the list's position, if there are as many lists as matrices. */
function placed(list: Numbers, numbers: readonly Numbers[], tensors: Tensors): TensorInfo | undefined {
  const matrices = tensors.filter(({ shape }) => shape.length > 1);
  return numbers.length === matrices.length ? matrices[numbers.indexOf(list)] : undefined;
}
