import type { Model } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { encodeNeed, matrixNeed, measureNeed, momentsNeed, windowsNeed } from './plan/memory.js';
import { type MatrixShape, type ModelShape, shapeOf } from './plan/shape.js';
import { encodeWork, matrixWork, measureWork, momentBytes, momentsWork, windowsWork } from './plan/work.js';

/** What a job is expected to take. */
export interface JobNeeds {
  /** Maximum memory, in bytes. */
  readonly memoryBytes: number;
  /** Time after which it is stopped and tried again: many times what it is expected to take. */
  readonly limitSeconds: number;
}

/** A machine may be much slower than the one that was measured, and runs other jobs beside. */
const SLOWEST = 30;
const MIN_LIMIT_SECONDS = 600;
/** Bits per weight of a payload, at most. */
const MAX_BITS = 16;

/** What the jobs of a model's compression are expected to take, by the rates of its plan. */
export class ModelNeeds {
  private readonly matrices: ReadonlyMap<string, MatrixShape>;
  private readonly modelBytes: number;

  private constructor(private readonly shape: ModelShape) {
    this.matrices = new Map(shape.matrices.map((matrix) => [matrix.tensor.name, matrix]));
    this.modelBytes = sumOf(shape.tensors, ({ lengthBytes }) => lengthBytes);
  }

  /** @throws {InputError} for a model that cannot be run. */
  static async of(model: Model): Promise<ModelNeeds> {
    return new ModelNeeds(await shapeOf(model));
  }

  windows(tokens: number, batchTokens: number): JobNeeds {
    const { shape, modelBytes } = this;
    return needs(windowsNeed(shape, batchTokens).bytes, windowsWork(shape, { tokens, modelBytes }).seconds);
  }

  moments(tensor: string, tokens: number, batches: number): JobNeeds {
    const matrix = this.matrices.get(tensor);
    if (!matrix) return needs(0, 0); // small, or not quantized
    const { seconds } = momentsWork(matrix, tokens, batches);
    return needs(momentsNeed(matrix, Math.ceil(tokens / batches)).bytes, seconds);
  }

  matrix(tensor: string): JobNeeds {
    const matrix = this.matrices.get(tensor);
    return matrix ? needs(matrixNeed(matrix).bytes, matrixWork(matrix).seconds) : needs(0, 0);
  }

  encode(tensor: string): JobNeeds {
    const matrix = this.matrices.get(tensor);
    return matrix
      ? needs(encodeNeed(matrix, MAX_BITS).bytes, encodeWork(matrix, MAX_BITS).seconds)
      : needs(0, 0);
  }

  /** Returns what one process needs for the whole compression: it holds the moments of a layer, not of one matrix. */
  whole(batchTokens: number): number {
    const { shape } = this;
    const matrices = [...this.matrices.values()];
    const ofLayer = (2 * 2 * sumOf(matrices, momentBytes)) / Math.max(1, shape.layers.length);
    const collecting = windowsNeed(shape, batchTokens).bytes + ofLayer;
    return Math.max(
      collecting,
      measureNeed(shape, batchTokens).bytes,
      ...matrices.map((each) => matrixNeed(each).bytes),
    );
  }

  measure(tokens: number): JobNeeds {
    const { shape, modelBytes } = this;
    const { seconds } = measureWork(shape, { tokens, modelBytes }, modelBytes);
    return needs(measureNeed(shape, tokens).bytes, seconds);
  }
}

/** Returns what a job of one kind takes whose extent is known otherwise. */
export function needs(memoryBytes: number, seconds: number): JobNeeds {
  return {
    memoryBytes: Math.round(memoryBytes),
    limitSeconds: Math.ceil(MIN_LIMIT_SECONDS + SLOWEST * seconds),
  };
}
