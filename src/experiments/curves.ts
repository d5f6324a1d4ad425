import { compactionCurve, gaussianCompaction } from '../codecs/transform/compaction.js';
import { sumOf } from '../core/sum.js';
import type { LabMatrix } from './matrices.js';
import type { TransformMethod } from './transforms.js';

/** The share of energy in the largest coefficients of one transform, for one role. */
export interface LabCurve {
  /** The transform. */
  readonly method: string;
  /** The role of the matrices. */
  readonly role: string;
  /** Number of stored coefficients per weight. */
  readonly shares: readonly number[];
  /** Their share of the energy, 0 to 1, at each of `shares`. */
  readonly energy: readonly number[];
  /** The share that as many independent Gaussian numbers would have. */
  readonly gaussian: readonly number[];
  /** Standard error over matrices of the share of energy less its Gaussian limit, at each share; null for one matrix. */
  readonly standardError: readonly (number | null)[];
}

const SHARES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5];

/** Computes the curves of a transform, by role. Matrices are weighted by their number of weights. */
export async function curvesOf(method: TransformMethod, matrices: readonly LabMatrix[]): Promise<LabCurve[]> {
  const roles = [...new Set(matrices.map(({ role }) => role))];
  const curves: LabCurve[] = [];
  for (const role of roles) {
    const own: { readonly weight: number; readonly energy: number[]; readonly gaussian: number[] }[] = [];
    for (const matrix of matrices.filter((entry) => entry.role === role)) {
      const numbers = (await method.coefficients(matrix)).map(({ coefficients }) => coefficients.numbers);
      const all = new Float64Array(sumOf(numbers, ({ length }) => length));
      let next = 0;
      for (const part of numbers) {
        all.set(part, next);
        next += part.length;
      }
      const gaussian = SHARES.map((share) => gaussianCompaction((share * matrix.elements) / all.length));
      own.push({ weight: matrix.elements, energy: compactionCurve(all, matrix.elements, SHARES), gaussian });
    }
    const weight = sumOf(own, (entry) => entry.weight);
    const mean = (of: (entry: (typeof own)[number]) => number) =>
      sumOf(own, (entry) => (entry.weight / weight) * of(entry));
    curves.push({
      method: method.name,
      role,
      shares: SHARES,
      energy: SHARES.map((_, i) => mean(({ energy }) => energy[i]!)),
      gaussian: SHARES.map((_, i) => mean(({ gaussian }) => gaussian[i]!)),
      standardError: SHARES.map((_, i) => {
        if (own.length < 2) return null;
        const excess = mean(({ energy, gaussian }) => energy[i]! - gaussian[i]!);
        const variance = mean(({ energy, gaussian }) => (energy[i]! - gaussian[i]! - excess) ** 2);
        return Math.sqrt(variance / (own.length - 1));
      }),
    });
  }
  return curves;
}
