import type { ExactKind } from '../architectures/exact.js';
import { isMatrix } from '../codecs/codec.js';
import { elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import type { TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import type { ExactTensors } from './exact-tensors.js';
import type { Goal } from './rate-control/budget.js';

/** How a tensor is stored, and why. */
export type PlannedTensor = { readonly tensor: TensorInfo } & (
  | { readonly treatment: 'quantized' }
  /** Stored by the lossless codec, float32 rounded to bfloat16; other dtypes are unchanged unless tuned. */
  | { readonly treatment: 'rounded'; readonly reason: 'not a matrix that the codec holds' | 'small' }
  | { readonly treatment: 'exact'; readonly reason: ExactKind }
);

/** A stage of a run, with its estimated time. */
export interface PlannedStage {
  readonly name: string;
  readonly seconds: number;
}

/** The plan of a lossy compression: all that is decided before it starts. */
export interface CompressionPlan {
  /** The stored tensors, in order, without duplicates. */
  readonly tensors: readonly PlannedTensor[];
  /** Weights in the tensors that are quantized. */
  readonly quantizedWeights: number;
  /** Target range in bytes, in nats per token, or in what the cosine lacks to 1. */
  readonly goal: Goal;
  /** First step of the search. */
  readonly firstStep: number;
  /** Whether to learn prices in an extra pass when the step is far from the last one. */
  readonly learnsPrices: boolean;
  /** Whether steps are tried on a sample of the matrices first. */
  readonly samplesRate: boolean;
  /** Whether norms and biases are tuned at the end, if the calibration text has enough windows. */
  readonly tunes: boolean;
  /** The stages of a typical run. */
  readonly stages: readonly PlannedStage[];
}

/** Input of {@link planCompression}. */
export interface PlanInput {
  /** The stored tensors, without duplicates. */
  readonly tensors: readonly TensorInfo[];
  readonly exact: ExactTensors;
  readonly goal: Goal;
  readonly tune: boolean;
  /** Number of tokens for the statistics, and for measuring; undefined without calibration. */
  readonly tokens: { readonly calibrationTokens: number; readonly measuredTokens: number } | undefined;
}

/** Models with fewer weights get an extra pass to learn prices, and may be tuned, because their passes are fast. */
const CHEAP_WEIGHTS = 1e8;

/** Typical number of passes of a search; those of small models include passes that learn prices. */
const TYPICAL_PASSES = { cheap: 5, expensive: 2 } as const;

/** Divergence to aim the first step at if the budget is a size: about three bits per weight. */
const TYPICAL_KL = 0.006;

/** Matrices smaller than this are rounded, not quantized: their codes would cost more than they save. */
const MIN_ELEMENTS = 1024;

/** Plans a compression; does no I/O. @throws {InputError} for a budget of kl or cosine without a calibration text. */
export function planCompression({ tensors, exact, goal, tune, tokens }: PlanInput): CompressionPlan {
  const isOfLoss = goal.kind !== 'bytes';
  if (isOfLoss && !tokens) throw new InputError(`a budget of ${goal.kind} needs a text to measure it on`);
  const planned = planTensors(tensors, exact);
  const quantizedWeights = sumOf(quantizedTensors(planned), ({ shape }) => elementCount(shape));
  const isCheap = quantizedWeights < CHEAP_WEIGHTS;
  return {
    tensors: planned,
    quantizedWeights,
    goal,
    firstStep: firstStep(isOfLoss ? goal.max : TYPICAL_KL, quantizedWeights),
    learnsPrices: isCheap,
    samplesRate: !isCheap && !isOfLoss,
    tunes: isCheap && tune,
    stages: planStages({
      weights: sumOf(tensors, ({ shape }) => elementCount(shape)),
      ...(tokens ?? { calibrationTokens: 0, measuredTokens: 0 }),
      passes: TYPICAL_PASSES[isCheap ? 'cheap' : 'expensive'],
      measuresEach: isOfLoss,
    }),
  };
}

/** Biases, and scales of norms, which some models store with two dimensions: one row for each head or expert. */
const VECTORS = /(^|[._])(bias|\w*norm\w*\.weight)$/;

/** Returns whether a tensor of several dimensions is a vector: biases, scales of norms, and whatever has one row. */
const isVector = ({ name, shape }: TensorInfo) => VECTORS.test(name) || elementCount(shape) === shape.at(-1);

/** Decides for each tensor whether it is quantized, rounded or stored exactly. */
export function planTensors(tensors: readonly TensorInfo[], exact: ExactTensors): PlannedTensor[] {
  return tensors.map((tensor): PlannedTensor => {
    const kind = exact.get(tensor.name);
    if (kind) return { tensor, treatment: 'exact', reason: kind };
    if (!isMatrix(tensor) || isVector(tensor))
      return { tensor, treatment: 'rounded', reason: 'not a matrix that the codec holds' };
    if (elementCount(tensor.shape) < MIN_ELEMENTS) return { tensor, treatment: 'rounded', reason: 'small' };
    return { tensor, treatment: 'quantized' };
  });
}

/** Returns the tensors of a plan that are quantized. */
export function quantizedTensors(planned: readonly PlannedTensor[]): TensorInfo[] {
  return planned.filter(({ treatment }) => treatment === 'quantized').map(({ tensor }) => tensor);
}

/** Estimates the step for a divergence: kl is about weights * step^2 / 24 (docs/trellis.md). */
function firstStep(kl: number, weights: number): number {
  return Math.sqrt((24 * kl) / Math.max(1, weights));
}

// Seconds on two cores per weight, or per token and weight: gpt-neo-small and a model of 1.3 B weights agree within a third.
const CALIBRATING = 7e-11;
const QUANTIZING = 2.5e-7;
const MEASURING = 3e-11;

/** The quantities that determine the time of a run. */
export interface Extent {
  readonly weights: number;
  readonly calibrationTokens: number;
  readonly measuredTokens: number;
  readonly passes: number;
  /** Whether each pass is measured, as a search for a divergence does, or only the last. */
  readonly measuresEach: boolean;
}

/** Returns the stages of a typical run. */
export function planStages(extent: Extent): PlannedStage[] {
  const { weights, calibrationTokens, measuredTokens, passes, measuresEach } = extent;
  const stages = [{ name: 'calibrating', seconds: calibrationTokens * weights * CALIBRATING }];
  const measuring = { name: 'measuring', seconds: measuredTokens * weights * MEASURING };
  for (let pass = 0; pass < passes; pass++) {
    stages.push({ name: 'quantizing', seconds: weights * QUANTIZING });
    if (measuresEach || pass === passes - 1) stages.push(measuring);
  }
  return stages;
}
