import { exactKind } from '../architectures/exact.js';
import { isMatrix, matrixOf, TRELLIS } from '../codecs/codec.js';
import { CONTEXTS } from '../codecs/trellis/levels.js';
import { initialPrices, tablePrices } from '../codecs/trellis/prices.js';
import { readTables, writeTables } from '../codecs/trellis/tables.js';
import { elementCount } from '../core/dtype.js';
import { readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import type { Pool } from '../workers/pool.js';
import type { Statistics } from './calibration/statistics.js';
import type { CodedTensor } from './candidate.js';
import type { Exact } from './exact.js';
import type { Counted, QuantizationJobs, Quantized } from './jobs.js';
import { momentsOf } from './quantizer/moments.js';
import { predictBits } from './rate-control/predict.js';
import type { Scratch } from './scratch.js';
import { startQuantization } from './threads.js';
import { codeVector } from './vectors.js';

/** Squared steps that a bit is worth, and the trellis' step in those of a scalar quantizer: at the optimum, which is flat. */
const LAMBDA = 0.1;
const STEP = 0.6;

/** Matrices smaller than this are rounded, not quantized: their codes would cost more than they save. */
const MIN_ELEMENTS = 1024;

/** Every so many matrices make a sample: prime to the 4, 6 or 7 that a block has, so that all kinds are in it. */
const SAMPLE_STRIDE = 11;

export interface PassOptions {
  readonly threads?: number | undefined;
  /** What is kept as it is; by default what its name says. */
  readonly exact?: Exact | undefined;
  readonly onProgress?: ((doneWeights: number, totalWeights: number) => void) | undefined;
}

/** What waits to be coded once the tables of all matrices are known. */
interface Waiting extends Omit<Quantized, 'indices'> {
  readonly indices: () => Promise<Int16Array>;
}

/**
 * Quantizes a whole model again and again, with one step after another. What one pass counts are the next one's prices, so
 * results depend on the steps tried before, and on nothing else.
 */
export class ModelQuantizer {
  private readonly threads: Pool<QuantizationJobs>;
  private prices = initialPrices();
  private readonly shrinks = new Float32Array(CONTEXTS * 2 * 4);
  private readonly unique: readonly TensorInfo[];
  private readonly matrices: readonly TensorInfo[];
  /** Values that take the place of the original's in tensors that are not quantized; forgotten by the next pass. */
  vectors: ReadonlyMap<string, Float32Array> = new Map();
  private last:
    | { readonly tables: Uint8Array; readonly waiting: ReadonlyMap<TensorInfo, Waiting> }
    | undefined;
  /** Of the last pass, laid out like prices. */
  counts = new Float64Array(this.prices.length);

  /** @param unique the tensors that are stored: not those that are the same as another. */
  constructor(
    private readonly model: Model,
    unique: readonly TensorInfo[],
    private readonly statistics: Statistics | undefined,
    private readonly scratch: Scratch,
    private readonly options: PassOptions,
  ) {
    this.threads = startQuantization(options.threads);
    this.unique = unique;
    this.matrices = unique.filter((tensor) => isQuantized(tensor) && !this.isExact(tensor));
  }

  close(): Promise<void> {
    return this.threads.close();
  }

  private isExact(tensor: TensorInfo): boolean {
    const { exact } = this.options;
    return exact ? exact.has(tensor.name) : exactKind(tensor, this.model.config) !== undefined;
  }

  /** Weights of all matrices that are quantized. */
  get weights(): number {
    return weightsOf(this.matrices);
  }

  /**
   * Quantizes every matrix. @param step errors of one step cost about 1/24 nat a weight and token.
   * @returns tables for all, and the tensors in order, coded as they are asked for.
   */
  async run(
    step: number,
  ): Promise<{ readonly tables: Uint8Array; readonly tensors: AsyncIterable<CodedTensor> }> {
    this.scratch.clear();
    this.vectors = new Map();
    const waiting = new Map<TensorInfo, Waiting>();
    await this.quantize(this.matrices, step, async (tensor, { indices, ...rest }) => {
      waiting.set(tensor, { ...rest, indices: await this.scratch.add(indices) });
    });
    this.last = { tables: this.learn(), waiting };
    return this.again();
  }

  /**
   * Quantizes some of the matrices and keeps nothing but what they teach.
   * @returns the entropy of their indices in bits, and how many they are.
   */
  async sample(step: number): Promise<{ readonly bits: number; readonly weights: number }> {
    const some = this.matrices.filter((_, i) => i % SAMPLE_STRIDE === SAMPLE_STRIDE >> 1);
    await this.quantize(some, step, async () => {});
    this.learn();
    return { bits: predictBits(this.counts, 0), weights: weightsOf(some) };
  }

  /** Quantizes matrices and counts their indices. */
  private async quantize(
    matrices: readonly TensorInfo[],
    step: number,
    take: (tensor: TensorInfo, result: Quantized) => Promise<void>,
  ): Promise<void> {
    const counts = new Float64Array(this.prices.length);
    const running: Promise<void>[] = [];
    const total = weightsOf(matrices);
    let done = 0;
    const collect = async (tensor: TensorInfo, result: Promise<Counted>) => {
      const { counts: counted, ...quantized } = await result;
      for (let i = 0; i < counts.length; i++) counts[i]! += counted[i]!;
      done += quantized.indices.length;
      await take(tensor, quantized);
      this.options.onProgress?.(done, total);
    };
    for (const tensor of matrices) {
      const job = await this.job(tensor, step);
      const buffers = [job.weights, job.rowMoments.values, job.columnMoments.values];
      const result = this.threads.run('quantize', job, [
        ...new Set(buffers.map(({ buffer }) => buffer as ArrayBuffer)),
      ]);
      const collected = collect(tensor, result);
      collected.catch(() => {}); // awaited later
      running.push(collected);
      if (running.length > this.threads.count) await running.shift();
    }
    await Promise.all(running);
    this.counts = counts;
  }

  /** What was counted last are the next prices. @returns the tables of it. */
  private learn(): Uint8Array {
    const tables = writeTables(this.counts, this.shrinks);
    this.prices = tablePrices(readTables(tables), this.prices);
    return tables;
  }

  /** What the last pass gave, once more: with `vectors` as they are now. */
  again(): { readonly tables: Uint8Array; readonly tensors: AsyncIterable<CodedTensor> } {
    const { tables, waiting } = this.last!;
    return { tables, tensors: this.coded(tables, waiting) };
  }

  private async job(tensor: TensorInfo, step: number) {
    const matrix = matrixOf(tensor.shape);
    const { rows, columns } = matrix;
    const weights = own(await readFloats(this.model, tensor));
    const moments = await momentsOf(this.statistics, tensor.name, weights, matrix);
    return {
      name: tensor.name,
      rows,
      columns,
      weights,
      rowMoments: moments.rows,
      columnMoments: moments.columns,
      step: STEP * step,
      prices: this.prices,
      shrinks: this.shrinks,
      lambda: LAMBDA,
    };
  }

  private async *coded(
    tables: Uint8Array,
    waiting: ReadonlyMap<TensorInfo, Waiting>,
  ): AsyncGenerator<CodedTensor> {
    for (const tensor of this.unique) {
      const matrix = waiting.get(tensor);
      if (!matrix) {
        yield await codeVector(this.model, tensor, this.isExact(tensor), this.vectors.get(tensor.name));
        continue;
      }
      const quantized = { ...matrix, indices: await matrix.indices() };
      const indices = quantized.indices.buffer as ArrayBuffer;
      const payloads = await this.threads.run('encode', { quantized, tables }, [indices]);
      yield { codec: TRELLIS, payloads };
    }
  }
}

function weightsOf(tensors: readonly TensorInfo[]): number {
  return tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/** The same values in memory that is all theirs, so that it can be given to a thread: copied only when shared. */
function own(values: Float32Array): Float32Array {
  return values.byteLength === values.buffer.byteLength ? values : values.slice();
}

/** True for tensors that are worth quantizing. */
export function isQuantized(tensor: TensorInfo): boolean {
  return isMatrix(tensor) && elementCount(tensor.shape) >= MIN_ELEMENTS;
}
