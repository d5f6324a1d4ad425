import { CONTEXTS } from '../codecs/trellis/levels.js';
import { initialPrices, tablePrices } from '../codecs/trellis/prices.js';
import { readTables, writeTables } from '../codecs/trellis/tables.js';
import type { TensorInfo } from '../core/model.js';
import { type MatrixPasses, type QuantizedMatrices, weightsOf } from './matrix-passes.js';
import type { OnProgress } from './progress.js';
import { predictBits } from './rate-control/rate-model.js';
import type { RateSample } from './rate-control/rate-samples.js';

/** Every 11th matrix is sampled: coprime to the 4, 6 or 7 matrices of a layer, so that the sample has all kinds. */
const SAMPLE_STRIDE = 11;

/** A step that changes by more than this factor moves weights to contexts without known prices. */
const MAX_STEP_RATIO = 1.3;

/** The quantized matrices of a model after one pass. */
export interface QuantizedModel {
  readonly step: number;
  /** The entropy coding tables of all indices. */
  readonly tables: Uint8Array;
  readonly matrices: QuantizedMatrices;
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

  /** @param matrices the tensors to quantize. */
  constructor(
    private readonly matrices: readonly TensorInfo[],
    private readonly passes: MatrixPasses,
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
    const { counts } = await this.pass('sampling', some, step);
    this.learnPrices(counts);
    return { step, bits: predictBits(counts, 0), weights: weightsOf(some), counts };
  }

  private async quantizeAll(step: number, before: readonly Float64Array[] = []): Promise<QuantizedModel> {
    const { counts, matrices } = await this.pass('quantizing', this.matrices, step);
    return { step, tables: this.learnPrices(counts), matrices, passes: [...before, counts] };
  }

  private pass(kind: 'quantizing' | 'sampling', matrices: readonly TensorInfo[], step: number) {
    const { prices, shrinks } = this;
    const { onPass, signal } = this.options;
    const options = { keep: kind === 'quantizing', onProgress: onPass?.(kind), signal };
    return this.passes.run(matrices, { step, prices, shrinks }, options);
  }

  /** Computes the next pass's prices from the counts of the last. @returns the tables of these counts. */
  private learnPrices(counts: Float64Array): Uint8Array {
    const tables = writeTables(counts, this.shrinks);
    this.prices = tablePrices(readTables(tables), this.prices);
    return tables;
  }
}
