import { encodeBlock } from '../codecs/trellis/block.js';
import type { Codes } from '../codecs/trellis/codes.js';
import { CONTEXTS, MAX_INDEX, NEXT_STATE, ROWS_PER_BLOCK, stepSizes } from '../codecs/trellis/levels.js';
import { type TensorParameters, writeParameters } from '../codecs/trellis/parameters.js';
import { readTables } from '../codecs/trellis/tables.js';
import { INDICES } from '../codecs/trellis/tokens.js';
import { sumOf } from '../core/sum.js';
import type { GridCodes, GridFormat } from '../grids/format.js';
import type { Runtime } from '../onnx/runtime.js';
import { GridKernel } from '../wasm/grids.js';
import { type IndexTables, indexCoder } from '../wasm/indices.js';
import { QuantizerKernel } from '../wasm/quantize.js';
import { setChoices } from './quantizer/choices.js';
import { diagonalMean, factorize } from './quantizer/factor.js';
import type { GridInput } from './quantizer/grid-input.js';
import { lossOnGrids, quantizeToGrids } from './quantizer/grids.js';
import { quantizeMatrix } from './quantizer/matrix.js';
import { Products } from './quantizer/products.js';
import { stepCodes } from './quantizer/steps.js';

/** Second moments along one side of a matrix: the cost of errors. */
export interface Moments {
  /** [n, n], symmetric; or [n], the diagonal, if errors do not interact. */
  readonly values: Float32Array;
  /** Added to the diagonal, as a share of its mean. */
  readonly damping: number;
}

/** A matrix to quantize, and all inputs that the result depends on. */
export interface QuantizeJob {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** [rows, columns] */
  readonly weights: Float32Array;
  readonly rowMoments: Moments;
  readonly columnMoments: Moments;
  /** The step of rows and columns whose errors cost 1; the same for all matrices of a model. */
  readonly step: number;
  /** Cost of each index in bits; see codecs/trellis/prices.ts. */
  readonly prices: Float32Array;
  readonly shrinks: Float32Array;
  /** Cost of a bit in squared steps. */
  readonly lambda: number;
}

/** A quantized matrix. */
export interface Quantized {
  readonly parameters: TensorParameters;
  readonly rows: Codes;
  /** [rows, columns] */
  readonly indices: Int16Array;
}

/** A quantized matrix with the counts of its indices, laid out like prices. */
export interface Counted extends Quantized {
  readonly counts: Uint32Array;
}

/** A quantized matrix to encode with the tables of the file. */
export interface EncodeMatrixJob {
  readonly quantized: Quantized;
  readonly tables: Uint8Array;
}

/** A matrix to quantize to a format's grids. */
export interface GridJob
  extends Pick<QuantizeJob, 'name' | 'rows' | 'columns' | 'weights' | 'rowMoments' | 'columnMoments'> {
  readonly format: GridFormat;
}

/** A matrix whose losses in several formats are compared. */
export interface LossesJob extends Omit<GridJob, 'format'> {
  readonly formats: readonly GridFormat[];
}

/** Returns the buffers of a job, which are moved to its thread. */
export function buffersOf({
  weights,
  rowMoments,
  columnMoments,
}: Pick<QuantizeJob, 'weights' | 'rowMoments' | 'columnMoments'>): ArrayBuffer[] {
  const arrays = [weights, rowMoments.values, columnMoments.values];
  return [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))];
}

/** Returns the values in a buffer of their own, which can be moved to a thread; copies them only if the buffer is shared. */
export function ownMemory(values: Float32Array): Float32Array {
  return values.byteLength === values.buffer.byteLength ? values : values.slice();
}

/** The jobs of a quantization thread. */
export class QuantizationJobs {
  private readonly products: Products;
  private readonly kernel = new QuantizerKernel();
  private readonly grids = new GridKernel();
  private tables: { readonly bytes: Uint8Array; readonly read: IndexTables } | undefined;

  constructor(runtime: Runtime) {
    this.products = new Products(runtime);
  }

  /** Quantizes a matrix. @throws {InputError} when the statistics cannot be factorized. */
  async quantize(job: QuantizeJob): Promise<Counted> {
    const { name, rows, columns, weights, step, prices, shrinks, lambda } = job;
    const prior = priorDamping(job);
    const columnSide = await this.side(job.columnMoments, columns, prior, name);
    const rowSide = await this.side(job.rowMoments, rows, prior, name);
    const codes = stepCodes(weights, rowSide.scales, columnSide.scales, step);
    setChoices(this.kernel, prices, shrinks, lambda);
    const indices = await quantizeMatrix(this.kernel, this.products, {
      rows,
      columns,
      weights,
      columnFactor: columnSide.factor,
      rowFactor: rowSide.factor,
      rowSteps: stepSizes(codes.rows.steps as Int16Array, 1),
      columnSteps: stepSizes(codes.columns.steps as Int16Array, codes.scale),
      rowContexts: codes.rows.contexts,
      columnContexts: codes.columns.contexts,
    });
    const { scale, columns: columnCodes } = codes;
    const parameters = { scale, rowFactorRange: 0, columnFactorRange: 0, columns: columnCodes };
    const quantized = { parameters, rows: codes.rows, indices };
    return { ...quantized, counts: countIndices(quantized) };
  }

  /**
   * Quantizes a matrix to grids. @throws {InputError} when the statistics cannot be factorized, and for weights that a float16 scale cannot
   * reach.
   */
  async quantizeToGrids(job: GridJob): Promise<GridCodes> {
    return quantizeToGrids(this.grids, this.products, await this.gridInput(job), job.format);
  }

  /** Computes about what each of some formats costs a matrix. @returns losses, tr(G E H transposed(E)). @throws as {@link quantizeToGrids}. */
  async lossesOnGrids({ formats, ...job }: LossesJob): Promise<number[]> {
    const input = await this.gridInput(job);
    const losses: number[] = [];
    for (const format of formats) losses.push(await lossOnGrids(this.grids, this.products, input, format));
    return losses;
  }

  private async gridInput(job: Omit<GridJob, 'format'>): Promise<GridInput> {
    const { name, rows, columns, weights } = job;
    const columnMoments = damped(job.columnMoments, columns);
    const rowMoments = damped(job.rowMoments, rows);
    const columnSide = await this.side(job.columnMoments, columns, 0, name);
    const rowSide = await this.side(job.rowMoments, rows, 0, name);
    const columnCosts = columnSide.scales.map((scale) => scale * scale);
    const factors = { columnFactor: columnSide.factor, rowFactor: rowSide.factor };
    return { name, rows, columns, weights, columnCosts, columnMoments, rowMoments, ...factors };
  }

  /** Computes the factor of one side, and the square root of the cost of an error of 1 in each of its rows or columns. */
  private async side(moments: Moments, n: number, prior: number, name: string) {
    const { values } = moments;
    const damping = moments.damping + prior;
    if (values.length === n) {
      const added = damping * diagonalMean(values, n);
      const scales = values.map((value) => Math.sqrt(value + added));
      return { scales, factor: undefined };
    }
    const { upper, diagonal } = await factorize(this.products, values, n, damping, name);
    return { scales: diagonal, factor: upper };
  }

  /** Returns the payloads of the matrix's parameters and of its blocks. */
  encode({ quantized, tables }: EncodeMatrixJob): Uint8Array[] {
    if (this.tables?.bytes.join() !== tables.join())
      this.tables = { bytes: tables, read: readTables(tables) };
    const { parameters, rows, indices } = quantized;
    const columns = parameters.columns.steps.length;
    const payloads = [writeParameters(parameters)];
    for (let start = 0; start < rows.steps.length; start += ROWS_PER_BLOCK) {
      const end = Math.min(rows.steps.length, start + ROWS_PER_BLOCK);
      const block = {
        rows: {
          steps: rows.steps.subarray(start, end),
          contexts: rows.contexts.subarray(start, end),
          factors: rows.factors?.subarray(start, end),
        },
        indices: indices.subarray(start * columns, end * columns),
      };
      payloads.push(encodeBlock(indexCoder(), this.tables!.read, parameters, block));
    }
    return payloads;
  }
}

/** Share of the prior to add: with 1 the product of two damped sides is too large. Measured, docs/trellis.md. */
const PRIOR = 0.3;
/** Limit for sides whose errors cost nearly nothing. */
const MAX_PRIOR = 1;

/**
 * Computes the damping that follows from the weights' variance: feeding an error must not cost more than setting a weight to zero.
 * The least squares estimate with this prior adds (step^2 / 12) / variance to G x H. Returned as a share of the means of both sides;
 * it matters at low rates.
 */
function priorDamping({ weights, step, rows, columns, rowMoments, columnMoments }: QuantizeJob): number {
  const variance = sumOf(weights, (weight) => weight * weight) / weights.length;
  const cost = diagonalMean(rowMoments.values, rows) * diagonalMean(columnMoments.values, columns);
  return variance > 0 ? Math.min(MAX_PRIOR, (PRIOR * step ** 2) / 12 / variance / cost) : 0;
}

function countIndices({ parameters, rows, indices }: Quantized): Uint32Array {
  const counts = new Uint32Array(CONTEXTS * 2 * INDICES);
  const { contexts } = parameters.columns;
  const states = new Uint8Array(contexts.length);
  for (let row = 0, i = 0; row < rows.contexts.length; row++) {
    if (row % ROWS_PER_BLOCK === 0) states.fill(0);
    for (let column = 0; column < contexts.length; column++, i++) {
      const context = Math.min(CONTEXTS - 1, Math.max(0, rows.contexts[row]! + contexts[column]!));
      const state = states[column]!;
      const index = indices[i]!;
      counts[(context * 2 + (state & 1)) * INDICES + index + MAX_INDEX]!++;
      states[column] = NEXT_STATE[state]![index & 1]!;
    }
  }
  return counts;
}

/** Returns moments with their damping added. */
function damped(moments: Moments, n: number): Float32Array {
  const values = moments.values.slice();
  const added = moments.damping * diagonalMean(values, n);
  const stride = values.length === n ? 1 : n + 1;
  for (let i = 0; i < n; i++) values[i * stride]! += added;
  return values;
}
