import type { ForwardPlan } from '../../architectures/forward.js';
import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import type { Model, TensorInfo } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { Imatrix, ImatrixEntry, ImatrixSums } from '../../models/gguf/imatrix.js';
import { type Bundle, bundlesOf, finderOf } from '../../models/gguf/tensor-map.js';
import type { Statistics, TensorMoments } from './statistics.js';

/** A matrix of GGUF, or a stack of them, and where the importance of its inputs is in the statistics of the Hub's tensors. */
interface Pair {
  /** Its name in GGUF, which is that of its entry. */
  readonly name: string;
  /** Number of matrices: experts, or heads. */
  readonly matrices: number;
  /** Inputs of each matrix: the length of rows in GGUF. */
  readonly inputs: number;
  readonly isOfExperts: boolean;
  /** The Hub's tensors: one, or one per expert. */
  readonly sources: readonly TensorInfo[];
  /** Where inputs are rows of the Hub's tensor, the row of a matrix's first input; otherwise they are its columns. */
  readonly firstRow: ((matrix: number) => number) | undefined;
  /** What its statistics are of, two for an embedding that is the head as well. */
  readonly kinds: readonly [Kind, ...Kind[]];
}

type Kind = TensorMoments['kind'];

/** The tensors that an importance matrix is of. Tables of positions and token types are not quantized. */
const HAS_IMPORTANCE = /^(blk\..*|output|token_embd)\.weight$/;
const TOKENS = 'token_embd.weight';
const OUTPUT = 'output.weight';

/**
 * Pairs the matrices of GGUF with a model's tensors.
 * @throws {InputError} for heads or experts that do not divide a tensor.
 */
function pairsOf(model: Pick<Model, 'tensors'>, gguf: GgufFamily, plan: ForwardPlan): Pair[] {
  const find = finderOf(model, plan);
  const isCopied = gguf.needsOutput && plan.head.tied;
  const pairs = bundlesOf(gguf, plan).flatMap((bundle) => {
    const sources = bundle.hub.map(({ name }) => find(name));
    return bundle.gguf.flatMap((part, i): Pair[] => {
      if (!part || part.shape.length < 2 || !HAS_IMPORTANCE.test(part.name)) return [];
      const { name, shape } = part;
      return [
        {
          name,
          matrices: elementCount(shape.slice(0, -2)),
          inputs: shape.at(-1)!,
          isOfExperts: name.includes('_exps.'),
          sources,
          firstRow: firstRowOf(bundle, i),
          kinds: kindsOf(name, sources[0]!, plan.head.tied && !isCopied),
        },
      ];
    });
  });
  const embedding = pairs.find(({ name }) => name === TOKENS);
  if (isCopied && embedding) pairs.unshift({ ...embedding, name: OUTPUT, kinds: ['head'] });
  return pairs;
}

function kindsOf(name: string, { shape }: TensorInfo, isTied: boolean): Pair['kinds'] {
  if (name === OUTPUT) return ['head'];
  if (name === TOKENS) return isTied ? ['head', 'embedding'] : ['embedding'];
  return shape.length > 2 ? ['experts'] : ['linear'];
}

/** Returns where the inputs of a part's matrices are among the rows of the Hub's tensor; undefined if they are its columns. */
function firstRowOf({ hub, gguf, layout }: Bundle, part: number): Pair['firstRow'] {
  const { swaps = [], cut, partSwaps = [] } = layout;
  const { shape } = gguf[part]!;
  const swapsLast = ([outer, first, second]: readonly number[], elements: number) =>
    outer! * first! * second! === elements;
  const all = sumOf(hub, (tensor) => elementCount(tensor.shape));
  if (swaps.some((swap) => swapsLast(swap, all))) return (matrix) => matrix * shape.at(-1)!;
  const swap = partSwaps[part];
  if (!cut || !swap || !swapsLast(swap, elementCount(shape))) return undefined;
  const rows = sumOf(cut.sizes, (size) => size);
  const before = sumOf(cut.sizes.slice(0, part), (size) => size);
  return (matrix) => matrix * rows + before;
}

/** How {@link imatrixOf} describes what the statistics are of. */
export interface ImatrixOptions {
  /** Tokens per window of the calibration; 0 for sentences, which are one chunk. */
  readonly chunkSize: number;
  /** What the calibration text is called. */
  readonly dataset: string;
}

/**
 * Returns statistics as an importance matrix of llama.cpp: the diagonal of the inputs' second moments, times tokens. llama-imatrix takes
 * the plain mean over tokens; here tokens count by the squared length of the gradient that the tensor's output has, as everywhere in
 * {@link TensorMoments}, which is closer to what an error costs. Experts in one tensor have the same moment, that of all of them; those
 * in tensors of their own have theirs. The token embedding has an entry too.
 * @throws {InputError} for heads or experts that do not divide a tensor. @throws {IntegrityError} when the statistics are damaged.
 */
export async function imatrixOf(
  statistics: Statistics,
  model: Pick<Model, 'tensors'>,
  gguf: GgufFamily,
  plan: ForwardPlan,
  { chunkSize: given, dataset }: ImatrixOptions,
): Promise<Imatrix> {
  const tokens = Math.max(1, statistics.tokens);
  const chunkSize = given || tokens;
  const entries = new Map<string, ImatrixEntry>();
  for (const pair of pairsOf(model, gguf, plan)) {
    const importance = await importanceOf(statistics, pair);
    if (importance) entries.set(pair.name, entryOf(pair, importance, tokens));
  }
  return { entries, chunkCount: Math.ceil(tokens / chunkSize), chunkSize, datasets: [dataset] };
}

/** Returns the importance of the inputs: of each source's columns, or of all rows of the only one; undefined without statistics. */
async function importanceOf(
  statistics: Statistics,
  { sources, firstRow, inputs, matrices, kinds }: Pair,
): Promise<readonly Float32Array[] | undefined> {
  const vectors: Float32Array[] = [];
  for (const { name, shape } of sources) {
    const found = (await statistics.tensor(name)).filter(({ kind }) => kinds.includes(kind));
    const columns = shape.at(-1)!;
    const size = firstRow ? elementCount(shape) / columns : columns;
    const sides = found.map((moments) => sideOf(moments, firstRow ? 'rows' : 'columns', size));
    if (!sides.length || sides.some((side) => !side)) return undefined;
    vectors.push(joined(sides as Float32Array[], found));
  }
  if (firstRow && firstRow(matrices - 1) + inputs > vectors[0]!.length) return undefined;
  return vectors;
}

/** Returns the diagonal of the moments along one side of a stored matrix; undefined if it has another size. */
function sideOf(
  { inputs, outputs, transposed }: TensorMoments,
  side: 'rows' | 'columns',
  size: number,
): Float32Array | undefined {
  const values = (side === 'columns') === transposed ? outputs : inputs;
  if (values.length === size) return values;
  if (values.length !== size * size) return undefined;
  return Float32Array.from({ length: size }, (_, i) => values[i * size + i]!);
}

/** Adds the importance of columns in both uses of an embedding that is the head, each times what its rows cost. */
function joined(sides: readonly Float32Array[], moments: readonly TensorMoments[]): Float32Array {
  const [first, ...more] = sides as [Float32Array, ...Float32Array[]];
  if (!more.length) return first;
  const weights = moments.map(({ outputs }) => sumOf(outputs, (weight) => weight));
  return first.map((_, i) => sides.reduce((sum, side, k) => sum + side[i]! * weights[k]!, 0));
}

function entryOf(
  { matrices, inputs, isOfExperts, firstRow }: Pair,
  importance: readonly Float32Array[],
  tokens: number,
): ImatrixEntry {
  const size = matrices * inputs;
  const counts = isOfExperts ? matrices : 1;
  const read = async (): Promise<ImatrixSums> => {
    const sums = new Float32Array(size);
    for (let matrix = 0; matrix < matrices; matrix++) {
      const start = firstRow?.(matrix) ?? 0;
      const own = (importance[matrix] ?? importance[0]!).subarray(start, start + inputs);
      sums.set(
        own.map((value) => Math.max(0, value * tokens)),
        matrix * inputs,
      );
    }
    // zeros say that no input matters, and no count that nothing is known
    const countOf = (i: number) => {
      const own = sums.subarray((i * size) / counts, ((i + 1) * size) / counts);
      return own.some((sum) => sum > 0) ? tokens : 0;
    };
    return { sums, counts: Array.from({ length: counts }, (_, i) => countOf(i)) };
  };
  return { size, counts, read };
}

/**
 * Returns an importance matrix of llama.cpp as statistics: second moments of inputs of which only the diagonal is known, and the same
 * weight for all outputs. Tensors without an entry have no statistics; experts that no token chose have the mean of the others.
 * All numbers are read and checked first.
 * @throws {InputError} when it is damaged, or of another model.
 */
export async function imatrixStatistics(
  imatrix: Imatrix,
  model: Pick<Model, 'id' | 'tensors'>,
  gguf: GgufFamily,
  plan: ForwardPlan,
): Promise<Statistics> {
  const byTensor = new Map<string, Found[]>();
  for (const pair of pairsOf(model, gguf, plan)) {
    const entry = imatrix.entries.get(pair.name);
    if (!entry || !(await isKnown(pair, entry))) continue;
    for (const { name } of pair.sources) byTensor.set(name, [...(byTensor.get(name) ?? []), { pair, entry }]);
  }
  if (!byTensor.size)
    throw new InputError(`the importance matrix has no tensor of this model, but ${someOf(imatrix)}`, {
      file: model.id,
    });
  return {
    tokens: imatrix.chunkCount * imatrix.chunkSize,
    tensor: async (name) => {
      const found = byTensor.get(name);
      return found ? [await momentsIn(name, found)] : [];
    },
  };
}

const someOf = ({ entries }: Imatrix) => JSON.stringify([...entries.keys()].slice(0, 2)).slice(0, 200);

interface Found {
  readonly pair: Pair;
  readonly entry: ImatrixEntry;
}

/** Reads an entry. @returns false when it says nothing. @throws {InputError} when it is damaged, or does not fit the tensor. */
async function isKnown({ name, matrices, inputs }: Pair, entry: ImatrixEntry): Promise<boolean> {
  const fits = entry.size === matrices * inputs && [1, matrices].includes(entry.counts);
  if (fits) return (await entry.read()).counts.some((count) => count > 0);
  // llama-quantize accepts this one as well
  if (name === TOKENS) return false;
  const expected = `${matrices * inputs} numbers for ${matrices} matrices`;
  throw new InputError(
    `the importance matrix is of another model: expected ${expected}, found ${entry.size} for ${entry.counts}`,
    { tensor: name },
  );
}

async function momentsIn(name: string, found: readonly Found[]): Promise<TensorMoments> {
  const { pair } = found[0]!;
  const index = pair.sources.findIndex((source) => source.name === name);
  const { shape } = pair.sources[index]!;
  const columns = new Float32Array(shape.at(-1)!).fill(1);
  const rows = new Float32Array(elementCount(shape) / columns.length).fill(1);
  // inputs that are columns are the same for all parts, such as gate and up
  const ofColumns = found.find((one) => !one.pair.firstRow);
  if (ofColumns) columns.set(columnMeans(await meansOf(ofColumns), ofColumns.pair, index));
  for (const one of found) {
    const { firstRow, matrices, inputs } = one.pair;
    if (!firstRow) continue;
    const { means } = await meansOf(one);
    // beside rows of which nothing is known
    const scale = ofColumns ? means.length / (sumOf(means, (mean) => mean) || 1) : 1;
    for (let matrix = 0; matrix < matrices; matrix++)
      rows.set(
        means.subarray(matrix * inputs, (matrix + 1) * inputs).map((mean) => mean * scale),
        firstRow(matrix),
      );
  }
  const [kind] = pair.kinds;
  const isTransposed = kind === 'linear' && pair.firstRow && pair.matrices * pair.inputs === rows.length;
  return isTransposed
    ? { kind, inputs: rows, outputs: columns, transposed: true }
    : { kind, inputs: columns, outputs: rows, transposed: false };
}

interface Means {
  /** Mean squares of the inputs of each matrix, [matrices x inputs]. */
  readonly means: Float32Array;
  /** Tokens of each matrix, or the same number for all. */
  readonly counts: readonly number[];
}

/** Returns the mean squares of each matrix; of one without tokens those of all. */
async function meansOf({ pair: { matrices, inputs }, entry }: Found): Promise<Means> {
  const { sums, counts: given } = await entry.read();
  const counts = Array.from({ length: matrices }, (_, i) => given[i] ?? given[0]!);
  const means = sums.map((sum, i) => sum / (counts[Math.floor(i / inputs)]! || 1));
  const mean = weightedMean({ means, counts }, inputs);
  for (const [i, count] of counts.entries()) if (!count) means.set(mean, i * inputs);
  return { means, counts };
}

/** Returns the importance of a tensor's columns: of the expert's own tensor, or the mean over all matrices. */
function columnMeans(of: Means, { sources, inputs }: Pair, index: number): Float32Array {
  return sources.length > 1
    ? of.means.subarray(index * inputs, (index + 1) * inputs)
    : weightedMean(of, inputs);
}

function weightedMean({ means, counts }: Means, inputs: number): Float32Array {
  const total = sumOf(counts, (count) => count);
  const result = new Float32Array(inputs);
  for (const [i, mean] of means.entries())
    result[i % inputs]! += mean * (counts[Math.floor(i / inputs)]! / total);
  return result;
}
