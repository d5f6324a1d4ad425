import { analyze } from '../codecs/transform/analysis.js';
import type { Coefficients, TransformOptions } from '../codecs/transform/coefficients.js';
import { decodeTransform } from '../codecs/transform/payload.js';
import { readFloats } from '../core/floats.js';
import type { Model } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import { encodePiece, piecesOf, STRENGTH_SEARCH } from '../operations/transform-encoder.js';
import { searchStep } from '../quantization/rate-control/step-search.js';
import { losslessKernels } from '../wasm/lossless.js';
import { type Attempt, type MatrixAttempt, type Method, squares } from './attempt.js';
import type { LabMatrix } from './matrices.js';

/** A transform whose largest coefficients are stored, or all are quantized. Coefficients are computed once and stay in memory. */
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

  /** Returns all coefficients of a matrix, in pieces. */
  async coefficients(matrix: LabMatrix): Promise<readonly Piece[]> {
    this.pieces ??= await this.analyzeAll();
    return this.pieces.find((entry) => entry.matrix === matrix)!.list;
  }

  async fit(bytes: number): Promise<Attempt | undefined> {
    this.pieces ??= await this.analyzeAll();
    let coded: readonly Coded[] = []; // of the last attempt, which becomes the result
    const attempt = async (strength: number) => {
      coded = this.encode(strength);
      return { step: strength, value: sumOf(coded, ({ bytes }) => bytes) };
    };
    const aim = { min: Math.ceil(bytes * 0.995), max: bytes, increasing: false };
    const { met, trial } = await searchStep(attempt, aim, STRENGTH_SEARCH[this.keep ? 'keep' : 'quantize']);
    if (!met) return undefined;
    const matrices: MatrixAttempt[] = [];
    for (const { matrix, payloads, bytes: own } of coded)
      matrices.push(await this.decode(matrix, payloads, own));
    return { bytes: trial.value, matrices };
  }

  private async analyzeAll() {
    const all = [];
    for (const matrix of this.matrices) {
      const weights = await readFloats(this.model, matrix.tensor);
      const list = Array.from(piecesOf(matrix.tensor), ({ first, count, columns }) => {
        const shape = { rows: count / columns, columns };
        const coefficients = analyze(weights.subarray(first, first + count), shape, this.options);
        return { count, columns, coefficients };
      });
      all.push({ matrix, list });
    }
    return all;
  }

  private encode(strength: number): Coded[] {
    return this.pieces!.map(({ matrix, list }) => {
      const payloads = list.map(({ coefficients, count }) =>
        encodePiece(coefficients, count, this.options, { keep: this.keep, strength }),
      );
      return { matrix, payloads, bytes: sumOf(payloads, ({ length }) => length) };
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
