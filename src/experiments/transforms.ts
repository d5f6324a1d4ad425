import { layoutOf, TRANSFORM } from '../codecs/codec.js';
import { analyze, type Coefficients, type TransformOptions } from '../codecs/transform/coefficients.js';
import { decodeTransform } from '../codecs/transform/payload.js';
import { readFloats } from '../core/floats.js';
import type { Model } from '../core/model.js';
import { BOUNDS, codePiece } from '../operations/compress-transform.js';
import { searchStep } from '../quantization/rate-control/search.js';
import { losslessKernels } from '../wasm/lossless.js';
import { type Attempt, type MatrixAttempt, type Method, squares } from './attempt.js';
import type { LabMatrix } from './matrices.js';

/** A transform, with the largest coefficients kept or all quantized. Coefficients are computed once and stay in memory. */
export class TransformMethod implements Method {
  readonly name: string;
  private pieces: readonly { readonly matrix: LabMatrix; readonly list: readonly Piece[] }[] | undefined;

  constructor(
    private readonly model: Model,
    private readonly matrices: readonly LabMatrix[],
    private readonly options: TransformOptions,
    private readonly keep: boolean,
  ) {
    this.name = keep ? `${options.transform}, largest kept` : options.transform;
  }

  /** All coefficients of a matrix, piece by piece. */
  async coefficients(matrix: LabMatrix): Promise<readonly Piece[]> {
    this.pieces ??= await this.analyzeAll();
    return this.pieces.find((entry) => entry.matrix === matrix)!.list;
  }

  async fit(bytes: number): Promise<Attempt | undefined> {
    this.pieces ??= await this.analyzeAll();
    let last: readonly Coded[] = [];
    const size = async (value: number) => {
      last = this.code(value);
      return last.reduce((sum, coded) => sum + coded.bytes, 0);
    };
    const aim = { least: Math.ceil(bytes * 0.995), most: bytes, grows: false };
    const { met } = await searchStep(size, aim, this.keep ? 10 : 1, BOUNDS[this.keep ? 'keep' : 'quantize']);
    if (!met) return undefined;
    const matrices: MatrixAttempt[] = [];
    for (const { matrix, payloads, bytes: own } of last)
      matrices.push(await this.decode(matrix, payloads, own));
    return { bytes: matrices.reduce((sum, matrix) => sum + matrix.bytes, 0), matrices };
  }

  private async analyzeAll() {
    const all = [];
    for (const matrix of this.matrices) {
      const weights = await readFloats(this.model, matrix.tensor);
      const list = Array.from(
        layoutOf({ ...matrix.tensor, codec: TRANSFORM }, '').blocks(matrix.tensor),
        ({ first, count, columns }) => ({
          count,
          columns,
          coefficients: analyze(
            weights.subarray(first, first + count),
            { rows: count / columns, columns },
            this.options,
          ),
        }),
      );
      all.push({ matrix, list });
    }
    return all;
  }

  private code(value: number): Coded[] {
    return this.pieces!.map(({ matrix, list }) => {
      const payloads = list.map(({ coefficients, count }) =>
        codePiece(coefficients, count, this.options, { keep: this.keep, value }),
      );
      return { matrix, payloads, bytes: payloads.reduce((sum, { length }) => sum + length, 0) };
    });
  }

  private async decode(
    matrix: LabMatrix,
    payloads: readonly Uint8Array[],
    bytes: number,
  ): Promise<MatrixAttempt> {
    const decoded = new Float32Array(matrix.elements);
    let next = 0;
    const list = await this.coefficients(matrix);
    for (const [i, payload] of payloads.entries()) {
      const { count, columns } = list[i]!;
      decoded.set(decodeTransform(losslessKernels(), payload, { rows: count / columns, columns }), next);
      next += count;
    }
    const original = await readFloats(this.model, matrix.tensor);
    return { matrix, bytes, decoded, ...squares(original, decoded) };
  }
}

interface Piece {
  readonly count: number;
  readonly columns: number;
  readonly coefficients: Coefficients;
}

interface Coded {
  readonly matrix: LabMatrix;
  readonly payloads: readonly Uint8Array[];
  readonly bytes: number;
}
