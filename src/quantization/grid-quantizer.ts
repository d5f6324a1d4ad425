import { readFloats } from '../core/floats.js';
import type { Model, TensorInfo } from '../core/model.js';
import { transposed } from '../core/transposed.js';
import type { Codes } from '../grids/onnx.js';
import type { Bits } from '../transformers-js/encoding.js';
import type { Statistics } from './calibration/statistics.js';
import type { GridJob } from './jobs.js';
import { momentsOf } from './moments.js';
import type { QuantizationThreads } from './threads.js';

/** A matrix to round to codes. */
export interface GridMatrix {
  readonly tensor: TensorInfo;
  readonly bits: Bits;
  /** Whether codes have rows where the tensor has columns. */
  readonly isTransposed: boolean;
}

/**
 * Rounds matrices to codes on grids, with errors fed on by calibration statistics. Those that are asked for next are computed ahead, as
 * many as there are threads.
 */
export class GridQuantizer {
  private matrices: readonly GridMatrix[] = [];
  private readonly running = new Map<number, Promise<Codes>>();
  private started = 0;

  constructor(
    private readonly model: Model,
    private readonly statistics: Statistics,
    private readonly threads: QuantizationThreads,
  ) {}

  /** Says which matrices will be asked for, in which order. */
  expect(matrices: readonly GridMatrix[]): void {
    this.matrices = matrices;
  }

  /** Returns the codes of a matrix, once; undefined for one that was not expected. @throws {InputError} when statistics cannot be factorized. */
  async take(tensor: string, bits: Bits): Promise<Codes | undefined> {
    const index = this.matrices.findIndex((matrix) => matrix.tensor.name === tensor && matrix.bits === bits);
    if (index < 0) return undefined;
    for (; this.started < Math.min(index + 1 + this.threads.count, this.matrices.length); this.started++) {
      const running = this.run(this.matrices[this.started]!);
      running.catch(() => {}); // awaited when it is asked for
      this.running.set(this.started, running);
    }
    const codes = await this.running.get(index);
    this.running.delete(index);
    return codes;
  }

  private async run({ tensor, bits, isTransposed }: GridMatrix): Promise<Codes> {
    const job = await this.job(tensor, isTransposed);
    return this.threads.run('quantizeToGrid', { ...job, bits });
  }

  private async job(tensor: TensorInfo, isTransposed: boolean): Promise<Omit<GridJob, 'bits'>> {
    const { name, shape } = tensor;
    const [rows, columns] = shape as [number, number];
    const weights = await readFloats(this.model, tensor);
    const moments = await momentsOf(this.statistics, name, weights, { rows, columns, stack: 1 });
    if (!isTransposed)
      return { name, rows, columns, weights, rowMoments: moments.rows, columnMoments: moments.columns };
    return {
      name,
      rows: columns,
      columns: rows,
      weights: transposed(weights, rows, columns),
      rowMoments: moments.columns,
      columnMoments: moments.rows,
    };
  }
}
