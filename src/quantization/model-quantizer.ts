import { matrixOf } from '../codecs/codec.js';
import { CONTEXTS } from '../codecs/trellis/levels.js';
import { initialPrices, tablePrices } from '../codecs/trellis/prices.js';
import { readTables, writeTables } from '../codecs/trellis/tables.js';
import { elementCount } from '../core/dtype.js';
import { readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import type { Statistics } from './calibration/statistics.js';
import type { IndexStore } from './index-store.js';
import { buffersOf, type Counted, ownMemory, type Quantized, type QuantizeJob } from './jobs.js';
import { momentsOf } from './moments.js';
import type { OnProgress } from './progress.js';
import { predictBits } from './rate-control/rate-model.js';
import type { RateSample } from './rate-control/rate-samples.js';
import type { QuantizationThreads } from './threads.js';

/** Cost of a bit in squared steps, and the trellis' step relative to a scalar quantizer's: both at their optimum, which is flat. */
const LAMBDA = 0.1;
const STEP = 0.6;

/** Every 11th matrix is sampled: coprime to the 4, 6 or 7 matrices of a layer, so that the sample has all kinds. */
const SAMPLE_STRIDE = 11;

/** A step that changes by more than this factor moves weights to contexts without known prices. */
const MAX_STEP_RATIO = 1.3;

/** A quantized matrix whose indices are in an {@link IndexStore}. */
export interface StoredMatrix extends Omit<Quantized, 'indices'> {
  readonly readIndices: () => Promise<Int16Array>;
}

/** The quantized matrices of a model after one pass; the next pass overwrites their indices. */
export interface QuantizedModel {
  readonly step: number;
  /** The entropy coding tables of all indices. */
  readonly tables: Uint8Array;
  /** By tensor name. */
  readonly matrices: ReadonlyMap<string, StoredMatrix>;
  /** Counts of the indices in each pass that was made for it, laid out like prices; the last is the one that is encoded. */
  readonly passes: readonly Float64Array[];
}

export interface QuantizerOptions {
  /** Whether to learn prices in an extra pass when the step is far from the last one. */
  readonly learnsPrices?: boolean;
  /** Called when a pass starts. @returns a function that is called with the number of quantized weights, and their total. */
  readonly onPass?: ((kind: 'quantizing' | 'sampling') => OnProgress) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Quantizes the matrices of a model repeatedly, with different steps. The counts of indices in one pass determine the prices of the
 * next, so results depend on the steps of earlier passes, and on nothing else.
 */
export class ModelQuantizer {
  private prices = initialPrices();
  private readonly shrinks = new Float32Array(CONTEXTS * 2 * 4);
  private lastStep: number | undefined;

  /** @param matrices the tensors to quantize. @param statistics the second moments; without them all relative errors count the same. */
  constructor(
    private readonly model: Model,
    private readonly matrices: readonly TensorInfo[],
    private readonly statistics: Statistics | undefined,
    private readonly indexStore: IndexStore,
    private readonly threads: QuantizationThreads,
    private readonly options: QuantizerOptions = {},
  ) {}

  /** Quantizes every matrix. @param step errors of one step cost about 1/24 nat per weight and token. */
  async quantize(step: number): Promise<QuantizedModel> {
    const ratio = this.lastStep === undefined ? Number.POSITIVE_INFINITY : step / this.lastStep;
    this.lastStep = step;
    // in contexts without counts prices are guesses, and too high for rare weights
    if (!this.options.learnsPrices || Math.max(ratio, 1 / ratio) <= MAX_STEP_RATIO)
      return this.quantizeAll(step);
    const { passes } = await this.quantizeAll(step);
    return this.quantizeAll(step, passes);
  }

  /** Learns from the passes of an earlier {@link quantize} as that did. @param passes their counts. */
  recall(step: number, passes: readonly Float64Array[]): void {
    this.lastStep = step;
    for (const counts of passes) this.learnPrices(counts);
  }

  /** Learns from an earlier {@link sample} as that did. */
  recallSample({ counts }: Pick<RateSample, 'counts'>): void {
    this.learnPrices(counts);
  }

  /** Quantizes a sample of the matrices and learns prices from them; the indices are discarded. */
  async sample(step: number): Promise<RateSample> {
    const some = this.matrices.filter((_, i) => i % SAMPLE_STRIDE === SAMPLE_STRIDE >> 1);
    const counts = await this.pass('sampling', some, step, async () => {});
    this.learnPrices(counts);
    return { step, bits: predictBits(counts, 0), weights: weightsOf(some), counts };
  }

  private async quantizeAll(step: number, before: readonly Float64Array[] = []): Promise<QuantizedModel> {
    this.indexStore.clear();
    const matrices = new Map<string, StoredMatrix>();
    const counts = await this.pass('quantizing', this.matrices, step, async (name, { indices, ...rest }) => {
      matrices.set(name, { ...rest, readIndices: await this.indexStore.add(indices) });
    });
    return { step, tables: this.learnPrices(counts), matrices, passes: [...before, counts] };
  }

  /** Quantizes matrices on all threads. @param take receives each as soon as it is done. @returns the counts of all indices. */
  private async pass(
    kind: 'quantizing' | 'sampling',
    matrices: readonly TensorInfo[],
    step: number,
    take: (name: string, matrix: Quantized) => Promise<void>,
  ): Promise<Float64Array> {
    const { signal, onPass } = this.options;
    const onProgress = onPass?.(kind);
    const counts = new Float64Array(this.prices.length);
    const running: Promise<void>[] = [];
    const total = weightsOf(matrices);
    let done = 0;
    const collect = async (name: string, result: Promise<Counted>) => {
      const { counts: counted, ...quantized } = await result;
      for (let i = 0; i < counts.length; i++) counts[i]! += counted[i]!;
      done += quantized.indices.length;
      await take(name, quantized);
      onProgress?.(done, total);
    };
    for (const tensor of matrices) {
      signal?.throwIfAborted();
      const job = await this.job(tensor, step);
      const collected = collect(tensor.name, this.threads.run('quantize', job, buffersOf(job)));
      collected.catch(() => {}); // awaited later
      running.push(collected);
      if (running.length > this.threads.count) await running.shift();
    }
    await Promise.all(running);
    return counts;
  }

  /** Computes the next pass's prices from the counts of the last. @returns the tables of these counts. */
  private learnPrices(counts: Float64Array): Uint8Array {
    const tables = writeTables(counts, this.shrinks);
    this.prices = tablePrices(readTables(tables), this.prices);
    return tables;
  }

  private async job(tensor: TensorInfo, step: number): Promise<QuantizeJob> {
    const matrix = matrixOf(tensor.shape);
    const weights = ownMemory(await readFloats(this.model, tensor));
    const moments = await momentsOf(this.statistics, tensor.name, weights, matrix);
    return {
      name: tensor.name,
      rows: matrix.rows,
      columns: matrix.columns,
      weights,
      rowMoments: moments.rows,
      columnMoments: moments.columns,
      step: STEP * step,
      prices: this.prices,
      shrinks: this.shrinks,
      lambda: LAMBDA,
    };
  }
}

function weightsOf(tensors: readonly TensorInfo[]): number {
  return sumOf(tensors, ({ shape }) => elementCount(shape));
}
