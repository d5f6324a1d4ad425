import { matrixOf } from '../codecs/codec.js';
import { elementCount } from '../core/dtype.js';
import { readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import type { Statistics } from './calibration/statistics.js';
import type { IndexStore } from './index-store.js';
import { buffersOf, type Counted, ownMemory, type Quantized, type QuantizeJob } from './jobs.js';
import type { ModelBase } from './model-base.js';
import { momentsOf } from './moments.js';
import type { OnProgress } from './progress.js';
import type { QuantizationThreads } from './threads.js';

/** Cost of a bit in squared steps, and the trellis' step relative to a scalar quantizer's: both at their optimum, which is flat. */
const LAMBDA = 0.1;
const STEP = 0.6;

/** What all matrices of a pass are quantized with; results depend on nothing else beside weights and statistics. */
export interface PassSettings {
  /** Errors of one step cost about 1/24 nat per weight and token. */
  readonly step: number;
  /** Cost of each index in bits; see codecs/trellis/prices.ts. */
  readonly prices: Float32Array;
  readonly shrinks: Float32Array;
}

export interface PassOptions {
  /** Whether the indices are needed afterwards, or only their counts. */
  readonly keep: boolean;
  /** Called with the number of quantized weights, and their total. */
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The result of a pass. */
export interface Pass {
  /** Counts of all indices, laid out like prices. */
  readonly counts: Float64Array;
  readonly matrices: QuantizedMatrices;
}

/** The matrices of a pass whose indices were kept; the next pass overwrites them. */
export interface QuantizedMatrices {
  /** Encodes a matrix with the tables of the file. @returns the payloads of its parameters and of its blocks. */
  payloads(tensor: string, tables: Uint8Array): Promise<readonly Uint8Array[]>;
}

/** Quantizes the matrices of a model: on threads of this process, or on other machines, with the same result. */
export interface MatrixPasses {
  run(matrices: readonly TensorInfo[], settings: PassSettings, options: PassOptions): Promise<Pass>;
}

/**
 * Reads what a matrix's quantization depends on. @param statistics without them all relative errors count the same.
 * @param base what is quantized is the difference from it.
 */
export async function quantizeJob(
  model: Model,
  statistics: Statistics | undefined,
  tensor: TensorInfo,
  { step, prices, shrinks }: PassSettings,
  base?: ModelBase,
): Promise<QuantizeJob> {
  const matrix = matrixOf(tensor.shape);
  const weights = ownMemory(await (base ? base.differences(tensor) : readFloats(model, tensor)));
  const moments = await momentsOf(statistics, tensor.name, weights, matrix);
  return {
    name: tensor.name,
    rows: matrix.rows,
    columns: matrix.columns,
    weights,
    rowMoments: moments.rows,
    columnMoments: moments.columns,
    step: STEP * step,
    prices,
    shrinks,
    lambda: LAMBDA,
  };
}

/** A quantized matrix whose indices are in an {@link IndexStore}. */
interface StoredMatrix extends Omit<Quantized, 'indices'> {
  readonly readIndices: () => Promise<Int16Array>;
}

/** Quantizes matrices on threads; indices wait in a temporary file. */
export class ThreadPasses implements MatrixPasses {
  constructor(
    private readonly model: Model,
    private readonly statistics: Statistics | undefined,
    private readonly indexStore: IndexStore,
    private readonly threads: QuantizationThreads,
    private readonly base?: ModelBase,
  ) {}

  async run(
    matrices: readonly TensorInfo[],
    settings: PassSettings,
    { keep, onProgress, signal }: PassOptions,
  ): Promise<Pass> {
    if (keep) this.indexStore.clear();
    const counts = new Float64Array(settings.prices.length);
    const stored = new Map<string, StoredMatrix>();
    const running: Promise<void>[] = [];
    const total = weightsOf(matrices);
    let done = 0;
    const collect = async (name: string, result: Promise<Counted>) => {
      const { counts: counted, indices, ...rest } = await result;
      for (let i = 0; i < counts.length; i++) counts[i]! += counted[i]!;
      done += indices.length;
      if (keep) stored.set(name, { ...rest, readIndices: await this.indexStore.add(indices) });
      onProgress?.(done, total);
    };
    for (const tensor of matrices) {
      signal?.throwIfAborted();
      const job = await quantizeJob(this.model, this.statistics, tensor, settings, this.base);
      const collected = collect(tensor.name, this.threads.run('quantize', job, buffersOf(job)));
      collected.catch(() => {}); // awaited later
      running.push(collected);
      if (running.length > this.threads.count) await running.shift();
    }
    await Promise.all(running);
    return { counts, matrices: { payloads: (tensor, tables) => this.encode(stored.get(tensor)!, tables) } };
  }

  private async encode({ parameters, rows, readIndices }: StoredMatrix, tables: Uint8Array) {
    const indices = await readIndices();
    const job = { quantized: { parameters, rows, indices }, tables };
    return this.threads.run('encode', job, [indices.buffer as ArrayBuffer]);
  }
}

/** Returns the number of weights in tensors. */
export function weightsOf(tensors: readonly TensorInfo[]): number {
  return sumOf(tensors, ({ shape }) => elementCount(shape));
}
