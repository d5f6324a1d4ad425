import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import type { Model, TensorInfo } from '../../core/model.js';
import type { GridFormat } from '../../grids/format.js';
import type { Statistics } from '../../quantization/calibration/statistics.js';
import type { GridTask } from '../../quantization/grid-quantizer.js';
import type { GridJob, Moments } from '../../quantization/jobs.js';
import { knownMoments, type MatrixMoments, relativeError } from '../../quantization/moments.js';
import { ROWS_PER_BLOCK } from '../../wasm/constants.js';
import { type GgufView, PLACES_PER_SOURCE, readWeights } from '../export/gguf-tensors.js';

/**
 * Weights that are quantized together, at most: a job holds 13 bytes for each; tests use fewer. Errors in rows of different strips do not
 * interact; in embeddings they never do.
 */
export const STRIP = { weights: 2 ** 25 };

/** Rows `first` to `end` (exclusive) of a view that is seen as rows, one after another. */
interface Strip {
  readonly first: number;
  readonly end: number;
}

/** A strip of a tensor, with the costs of its errors, when it is its turn. */
export type StripTask = () => Promise<Omit<GridJob, 'format'>>;

/** Returns the tasks to quantize a tensor, whose codes follow one another. */
export function tasksOf(
  model: Model,
  statistics: Statistics | undefined,
  view: GgufView,
  format: GridFormat,
): GridTask[] {
  return stripTasks(model, statistics, view).map((strip) => async () => ({ ...(await strip()), format }));
}

/** Returns the strips of a tensor: matrices of a stack, and parts of large ones. */
export function stripTasks(model: Model, statistics: Statistics | undefined, view: GgufView): StripTask[] {
  return stripsOf(view).map((strip) => async () => {
    const columns = view.shape.at(-1)!;
    const rows = strip.end - strip.first;
    const weights = await readRows(model, view, strip);
    const moments =
      (await momentsIn(statistics && usedAs(statistics, view.use), view, strip)) ??
      relativeError(weights, { rows, columns, stack: 1 });
    return {
      name: view.name,
      rows,
      columns,
      weights,
      rowMoments: moments.rows,
      columnMoments: moments.columns,
    };
  });
}

function stripsOf({ shape }: GgufView): Strip[] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  const matrices = elementCount(shape.slice(0, -2));
  const most = ROWS_PER_BLOCK * Math.max(1, Math.floor(STRIP.weights / columns / ROWS_PER_BLOCK));
  return Array.from({ length: matrices }, (_, matrix) =>
    Array.from({ length: Math.ceil(rows / most) }, (_, i) => ({
      first: matrix * rows + i * most,
      end: matrix * rows + Math.min(rows, (i + 1) * most),
    })),
  ).flat();
}

async function readRows(model: Model, view: GgufView, { first, end }: Strip): Promise<Float32Array> {
  const columns = view.shape.at(-1)!;
  return readWeights(model, view, first * columns, end * columns);
}

/** Returns the statistics of one of the uses of an embedding; of all, if none is named. */
function usedAs(statistics: Statistics, use: GgufView['use']): Statistics {
  if (!use) return statistics;
  const tensor = async (name: string) => (await statistics.tensor(name)).filter(({ kind }) => kind === use);
  return { tokens: statistics.tokens, tensor };
}

/** Returns the moments of a strip of a view; undefined if the statistics have none of its tensor. */
async function momentsIn(
  statistics: Statistics | undefined,
  view: GgufView,
  strip: Strip,
): Promise<MatrixMoments | undefined> {
  if (!statistics) return undefined;
  const { source, rows, columns, isTurned } = await placesIn(view, strip);
  const width = source.shape.at(-1)!;
  const known = await knownMoments(statistics, source.name, {
    rows: elementCount(source.shape) / width,
    columns: width,
  });
  if (!known) return undefined;
  const [ofRows, ofColumns] = isTurned ? [known.columns, known.rows] : [known.rows, known.columns];
  const [allRows, allColumns] = isTurned
    ? [width, elementCount(source.shape) / width]
    : [elementCount(source.shape) / width, width];
  return { rows: picked(ofRows, allRows, rows), columns: picked(ofColumns, allColumns, columns) };
}

/** Where the rows and columns of a strip are in the tensor that it is of. */
interface Places {
  readonly source: TensorInfo;
  /** Its rows, or if it is turned its columns. */
  readonly rows: Int32Array;
  readonly columns: Int32Array;
  readonly isTurned: boolean;
}

async function placesIn({ shape, sources, places }: GgufView, { first, end }: Strip): Promise<Places> {
  const columns = shape.at(-1)!;
  const count = end - first;
  if (!places)
    return {
      source: sources[0]!,
      rows: Int32Array.from({ length: count }, (_, i) => first + i),
      columns: Int32Array.from({ length: columns }, (_, i) => i),
      isTurned: false,
    };
  const { read: readPlaces } = places();
  const read = async (start: number, stop: number) => {
    const bytes = (await readPlaces(start * DTYPE_BYTES.F64, stop * DTYPE_BYTES.F64)).slice();
    return new Float64Array(bytes.buffer);
  };
  const across = await read(first * columns, (first + 1) * columns);
  const source = sources[Math.floor(across[0]! / PLACES_PER_SOURCE)]!;
  const width = source.shape.at(-1)!;
  const rowOf = (place: number) => Math.floor((place % PLACES_PER_SOURCE) / width);
  const columnOf = (place: number) => (place % PLACES_PER_SOURCE) % width;
  const isTurned = rowOf(across[0]!) !== rowOf(across.at(-1)!);
  const rows = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const [place] = await read((first + i) * columns, (first + i) * columns + 1);
    rows[i] = (isTurned ? columnOf : rowOf)(place!);
  }
  return { source, rows, columns: Int32Array.from(across, isTurned ? rowOf : columnOf), isTurned };
}

/** Returns the moments of some rows or columns, out of `all`. */
export function picked({ values, damping }: Moments, all: number, places: Int32Array): Moments {
  if (places.length === all && places.every((place, i) => place === i)) return { values, damping };
  if (values.length === all) return { values: Float32Array.from(places, (place) => values[place]!), damping };
  const n = places.length;
  const square = new Float32Array(n * n);
  for (let i = 0, at = 0; i < n; i++)
    for (let j = 0; j < n; j++, at++) square[at] = values[places[i]! * all + places[j]!]!;
  return { values: square, damping };
}
