import { sumOf } from '../../core/sum.js';
import { GGML_GRIDS } from '../../grids/ggml.js';
import { type GgufType, typeNamed } from '../../models/gguf/types.js';
import { buffersOf, type Moments } from '../../quantization/jobs.js';
import { diagonalMean } from '../../quantization/quantizer/factor.js';
import { type GgufView, storedBytes } from '../export/gguf-tensors.js';
import type { Session } from './session.js';
import { picked, type StripTask, stripTasks } from './tasks.js';

/** Types that a budget may choose, which llama.cpp runs fast: those with blocks of 256, and for other rows those with blocks of 32. */
const LARGE_BLOCKS = ['Q2_K', 'Q3_K', 'IQ4_XS', 'Q4_K', 'Q5_K', 'Q6_K', 'Q8_0'];
const SMALL_BLOCKS = ['IQ4_NL', 'Q5_0', 'Q5_1', 'Q8_0'];

/** What a tensor costs in one type. */
export interface TypeCost {
  readonly type: GgufType;
  readonly bytes: number;
  /** Expected loss in nats per token. */
  readonly loss: number;
}

/** Rows of a strip that are quantized to measure what a type costs, at most. */
const SAMPLE_ROWS = 1024;

/** Returns the types that a tensor can have; none if its rows are not whole blocks of any. */
export function candidatesFor({ shape }: GgufView): GgufType[] {
  const names = shape.at(-1)! % 256 === 0 ? LARGE_BLOCKS : SMALL_BLOCKS;
  return names.map(typeNamed).filter(({ blockElements }) => shape.at(-1)! % blockElements === 0);
}

/** A tensor, and the types that it may have. */
export interface TensorTypes {
  readonly view: GgufView;
  readonly types: readonly GgufType[];
}

/**
 * Measures what each type costs each tensor: it is quantized to all of them, or a sample of its rows.
 * @param onTensor called with the number of tensors that were begun.
 */
export async function measureCosts(
  { model, statistics, threads, signal }: Session,
  tensors: readonly TensorTypes[],
  onTensor: (done: number) => void,
): Promise<Map<string, readonly TypeCost[]>> {
  const strips = tensors.flatMap(({ view, types }, tensor) => {
    const formats = types.map(({ name }) => GGML_GRIDS[name]!.format);
    return stripTasks(model, statistics, view).map((task) => ({ task, tensor, formats }));
  });
  const losses: Promise<number[]>[] = [];
  for (const { task, tensor, formats } of strips) {
    signal?.throwIfAborted();
    onTensor(tensor + 1);
    await losses.at(-threads.count); // few strips are in memory
    const { share, ...job } = await sampled(task);
    const measured = threads.run('lossesOnGrids', { ...job, formats }, buffersOf(job));
    const expected = measured.then((found) => found.map((loss) => loss / share / 2));
    expected.catch(() => {}); // awaited later
    losses.push(expected);
  }
  const found = await Promise.all(losses);
  return new Map(
    tensors.map(({ view, types }, tensor) => {
      const own = found.filter((_, i) => strips[i]!.tensor === tensor);
      const costs = types.map((type, i) => ({
        type,
        bytes: storedBytes(type, view.shape),
        loss: sumOf(own, (strip) => strip[i]!),
      }));
      return [view.name, costs];
    }),
  );
}

/** Returns every n-th row of a strip, and their share of what errors in all rows cost. */
async function sampled(task: StripTask) {
  const job = await task();
  const { rows, columns, weights, rowMoments } = job;
  const step = Math.ceil(rows / SAMPLE_ROWS);
  if (step === 1) return { ...job, share: 1 };
  const places = Int32Array.from({ length: Math.floor(rows / step) }, (_, i) => i * step + (step >> 1));
  const some = new Float32Array(places.length * columns);
  for (const [i, row] of places.entries())
    some.set(weights.subarray(row * columns, (row + 1) * columns), i * columns);
  const moments = picked(rowMoments, rows, places);
  const costOf = ({ values }: Moments, n: number) => n * diagonalMean(values, n); // damping counts for every row alike
  const share = costOf(moments, places.length) / costOf(rowMoments, rows);
  return { ...job, rows: places.length, weights: some, rowMoments: moments, share };
}
