import { sumOf } from '../../core/sum.js';
import type { TensorMoments } from './statistics.js';

/** Experts with fewer tokens are reported. */
export const FEW_TOKENS = 64;

/** Tokens that the mean of all experts counts as in the statistics of one, for each of its features. */
const PRIOR_TOKENS_PER_FEATURE = 1 / 8;

/** Least share of tokens that an expert is taken to have, relative to the mean: other texts may choose it more often. */
const LEAST_SHARE = 1 / 4;

/** Groups what belongs to experts: the same matrix of each, in the order of experts. */
export function groupExperts<Each>(all: readonly Each[], expertOf: (each: Each) => number): Each[][] {
  const count = 1 + Math.max(...all.map(expertOf));
  const experts = Array.from({ length: count }, (_, i) => all.filter((each) => expertOf(each) === i));
  return experts[0]!.map((_, matrix) => experts.map((own) => own[matrix]!));
}

/**
 * Moves the statistics of experts with few tokens toward the mean of all: with fewer tokens than features a second moment says nothing of
 * most directions, and an expert that no token chose would have none. Overwrites them.
 * @param counts tokens of each expert.
 */
export function dampExperts(group: readonly TensorMoments[], counts: readonly number[]): TensorMoments[] {
  const mean = sumOf(counts, (count) => count) / counts.length;
  const share = (i: number) => counts[i]! / Math.max(1, mean * counts.length);
  const sizeOf = (values: Float32Array) => Math.sqrt(values.length);
  const blend = (each: readonly Float32Array[], scaleOf: (i: number) => number) => {
    const average = averageOf(each, (i) => share(i) * scaleOf(i));
    for (const [i, own] of each.entries()) {
      const trust = counts[i]! / (counts[i]! + PRIOR_TOKENS_PER_FEATURE * sizeOf(own));
      for (let k = 0; k < own.length; k++) own[k] = trust * own[k]! * scaleOf(i) + (1 - trust) * average[k]!;
    }
  };
  // moments of inputs are means over an expert's tokens; those of gradients are over all tokens
  blend(
    group.map(({ inputs }) => inputs),
    () => 1,
  );
  const perToken = (i: number) => mean / Math.max(1, counts[i]!);
  blend(
    group.map(({ outputs }) => outputs),
    perToken,
  );
  return group.map(({ kind, inputs, outputs, transposed }, i) => {
    const used = Math.max(counts[i]!, LEAST_SHARE * mean) / Math.max(1, mean);
    for (let k = 0; k < outputs.length; k++) outputs[k]! *= used;
    return { kind, inputs, outputs, transposed };
  });
}

/**
 * Joins the statistics of matrices that are stored in one tensor, one below the other: the columns' second moment is the mean of all
 * experts, and the cost of rows is of each expert's own.
 */
export function stackExperts(experts: readonly TensorMoments[]): TensorMoments {
  const { transposed } = experts[0]!;
  const columnsOf = ({ inputs, outputs }: TensorMoments) => (transposed ? outputs : inputs);
  const rowsOf = ({ inputs, outputs }: TensorMoments) => (transposed ? inputs : outputs);
  const traces = experts.map((expert) => trace(columnsOf(expert)));
  const weights = experts.map((expert, i) => trace(rowsOf(expert)) * traces[i]!);
  const total = sumOf(weights, (weight) => weight) || 1;
  const inputs = averageOf(experts.map(columnsOf), (i) => weights[i]! / (traces[i]! || 1) / total);
  const scale = trace(inputs) || 1;
  const outputs = Float32Array.from(
    experts.flatMap((expert, i) => diagonalOf(rowsOf(expert)).map((value) => (value * traces[i]!) / scale)),
  );
  return { kind: 'experts', inputs, outputs, transposed: false };
}

function averageOf(each: readonly Float32Array[], weightOf: (i: number) => number): Float32Array {
  const sum = new Float32Array(each[0]!.length);
  for (const [i, values] of each.entries()) {
    const weight = weightOf(i);
    for (let k = 0; k < sum.length; k++) sum[k]! += weight * values[k]!;
  }
  return sum;
}

function diagonalOf(matrix: Float32Array): number[] {
  const size = Math.sqrt(matrix.length);
  return Array.from({ length: size }, (_, i) => matrix[i * size + i]!);
}

const trace = (matrix: Float32Array) => sumOf(diagonalOf(matrix), (value) => value);
