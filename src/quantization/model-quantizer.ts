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
import type { Counted, Quantized, QuantizeJob } from './jobs.js';
import { momentsOf } from './moments.js';
import type { OnProgress } from './progress.js';
import { predictBits } from './rate-control/rate-model.js';
import type { RateSample } from './rate-control/rate-samples.js';
import type { QuantizationThreads } from './threads.js';

/** Squared steps that a bit is worth, and the trellis' step in those of a scalar quantizer: at the optimum, which is flat. */
const LAMBDA = 0.1;
const STEP = 0.6;

/** Every so many matrices make a sample: prime to the 4, 6 or 7 that a block has, so that all kinds are in it. */
const SAMPLE_STRIDE = 11;

/** A step so much larger or smaller moves weights to contexts whose prices are not known. */
const MAX_STEP_RATIO = 1.3;

/** A quantized matrix whose indices wait in an {@link IndexStore}. */
export interface StoredMatrix extends Omit<Quantized, 'indices'> {
  readonly readIndices: () => Promise<Int16Array>;
}

/** All matrices of a model after one pass; the next pass overwrites their indices. */
export interface QuantizedModel {
  readonly step: number;
  /** The tables that all indices are coded with. */
  readonly tables: Uint8Array;
  /** By tensor name. */
  readonly matrices: ReadonlyMap<string, StoredMatrix>;
  /** How often each index was chosen, laid out like prices. */
  readonly counts: Float64Array;
}

export interface QuantizerOptions {
  /** Whether a pass that is thrown away learns prices where the step is far from the last one. */
  readonly learnsPrices?: boolean;
  /** Is called when a pass begins. @returns what takes the weights done and all weights of it. */
  readonly onPass?: ((kind: 'quantizing' | 'sampling') => OnProgress) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Quantizes the matrices of a model again and again, with one step after another. The indices that one pass counts give the next
 * one's prices, so results depend on the steps tried before, and on nothing else.
 */
export class ModelQuantizer {
  private prices = initialPrices();
  private readonly shrinks = new Float32Array(CONTEXTS * 2 * 4);
  private lastStep: number | undefined;

  /** @param matrices the tensors to quantize. @param statistics what errors cost; without them weights alone decide. */
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
    // prices of contexts that no pass has seen are guesses, which forbid weights that are rare there
    if (this.options.learnsPrices && Math.max(ratio, 1 / ratio) > MAX_STEP_RATIO)
      await this.quantizeAll(step);
    return this.quantizeAll(step);
  }

  /** Quantizes some of the matrices and keeps nothing but what they teach. */
  async sample(step: number): Promise<RateSample> {
    const some = this.matrices.filter((_, i) => i % SAMPLE_STRIDE === SAMPLE_STRIDE >> 1);
    const counts = await this.pass('sampling', some, step, async () => {});
    this.learnPrices(counts);
    return { step, bits: predictBits(counts, 0), weights: weightsOf(some), counts };
  }

  private async quantizeAll(step: number): Promise<QuantizedModel> {
    this.indexStore.clear();
    const matrices = new Map<string, StoredMatrix>();
    const counts = await this.pass('quantizing', this.matrices, step, async (name, { indices, ...rest }) => {
      matrices.set(name, { ...rest, readIndices: await this.indexStore.add(indices) });
    });
    return { step, tables: this.learnPrices(counts), matrices, counts };
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

  /** Makes the next pass's prices from the counts of the last. @returns the tables of these counts. */
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

/** The memory of a job that is handed over to its thread. */
function buffersOf({ weights, rowMoments, columnMoments }: QuantizeJob): ArrayBuffer[] {
  const arrays = [weights, rowMoments.values, columnMoments.values];
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}

function weightsOf(tensors: readonly TensorInfo[]): number {
  return sumOf(tensors, ({ shape }) => elementCount(shape));
}

/** The same values in memory that is all theirs, so that it can be handed over: copied only when shared. */
function ownMemory(values: Float32Array): Float32Array {
  return values.byteLength === values.buffer.byteLength ? values : values.slice();
}
