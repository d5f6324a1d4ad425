import type { ExactKind } from '../architectures/exact.js';
import { isMatrix } from '../codecs/codec.js';
import { elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import type { TensorInfo } from '../core/model.js';
import { sumOf } from '../core/sum.js';
import type { ExactTensors } from './exact-tensors.js';
import type { Goal } from './rate-control/budget.js';

/** What becomes of a tensor, and why. */
export type PlannedTensor = { readonly tensor: TensorInfo } & (
  | { readonly treatment: 'quantized' }
  /** Coded losslessly, float32 rounded to bfloat16 before; the others keep their elements unless they are tuned. */
  | { readonly treatment: 'rounded'; readonly reason: 'not a matrix that the codec holds' | 'small' }
  | { readonly treatment: 'exact'; readonly reason: ExactKind }
);

/** A stage of a run, and how long it is thought to take. */
export interface PlannedStage {
  readonly name: string;
  readonly seconds: number;
}

/** What a lossy compression will do, as far as that is known before it begins. */
export interface CompressionPlan {
  /** The tensors that are stored, in their order: not those that are the same as another. */
  readonly tensors: readonly PlannedTensor[];
  /** Weights in the tensors that are quantized. */
  readonly quantizedWeights: number;
  /** Bytes or nats per token, and what share of them is enough. */
  readonly goal: Goal;
  /** The step that the search begins with. */
  readonly firstStep: number;
  /** Whether an extra pass learns the prices of indices at steps far from the last. */
  readonly learnsPrices: boolean;
  /** Whether steps are tried on a sample of the matrices first. */
  readonly samplesRate: boolean;
  /** Whether norms and biases are tuned at the end, where the calibration text has enough windows. */
  readonly tunes: boolean;
  /** The stages of a run that goes as runs mostly do. */
  readonly stages: readonly PlannedStage[];
}

/** What a plan is made for. */
export interface PlanInput {
  /** Without those that are the same as another. */
  readonly tensors: readonly TensorInfo[];
  readonly exact: ExactTensors;
  readonly goal: Goal;
  readonly tune: boolean;
  /** Tokens that statistics are collected on, and that quality is measured on; undefined without calibration. */
  readonly tokens: { readonly calibrationTokens: number; readonly measuredTokens: number } | undefined;
}

/** Passes over models with fewer weights are so cheap that one is spent on learning prices, and the model may be tuned. */
const CHEAP_WEIGHTS = 1e8;

/** Passes that most searches take; those of cheap models learn prices besides. */
const TYPICAL_PASSES = { cheap: 5, expensive: 2 } as const;

/** The divergence that first steps are aimed at when a size is asked for: about three bits per weight. */
const TYPICAL_KL = 0.006;

/** Matrices smaller than this are rounded, not quantized: their codes would cost more than they save. */
const MIN_ELEMENTS = 1024;

/** Plans a compression; reads and writes nothing. @throws {InputError} for a divergence without a text to measure it on. */
export function planCompression({ tensors, exact, goal, tune, tokens }: PlanInput): CompressionPlan {
  if (goal.kind === 'kl' && !tokens) throw new InputError('a budget of kl needs a text to measure it on');
  const planned = planTensors(tensors, exact);
  const quantizedWeights = sumOf(quantizedTensors(planned), ({ shape }) => elementCount(shape));
  const isCheap = quantizedWeights < CHEAP_WEIGHTS;
  return {
    tensors: planned,
    quantizedWeights,
    goal,
    firstStep: firstStep(goal.kind === 'kl' ? goal.max : TYPICAL_KL, quantizedWeights),
    learnsPrices: isCheap,
    samplesRate: !isCheap && goal.kind === 'bytes',
    tunes: isCheap && tune,
    stages: planStages({
      weights: sumOf(tensors, ({ shape }) => elementCount(shape)),
      ...(tokens ?? { calibrationTokens: 0, measuredTokens: 0 }),
      passes: TYPICAL_PASSES[isCheap ? 'cheap' : 'expensive'],
      measuresEach: goal.kind === 'kl',
    }),
  };
}

/** Decides for each tensor whether it is quantized, rounded or stays exact. */
export function planTensors(tensors: readonly TensorInfo[], exact: ExactTensors): PlannedTensor[] {
  return tensors.map((tensor): PlannedTensor => {
    const kind = exact.get(tensor.name);
    if (kind) return { tensor, treatment: 'exact', reason: kind };
    if (!isMatrix(tensor))
      return { tensor, treatment: 'rounded', reason: 'not a matrix that the codec holds' };
    if (elementCount(tensor.shape) < MIN_ELEMENTS) return { tensor, treatment: 'rounded', reason: 'small' };
    return { tensor, treatment: 'quantized' };
  });
}

/** Returns the tensors of a plan that are quantized. */
export function quantizedTensors(planned: readonly PlannedTensor[]): TensorInfo[] {
  return planned.filter(({ treatment }) => treatment === 'quantized').map(({ tensor }) => tensor);
}

/** The step where the divergence is about weights * step^2 / 24: errors of one step cost as much (docs/trellis.md). */
function firstStep(kl: number, weights: number): number {
  return Math.sqrt((24 * kl) / Math.max(1, weights));
}

// Seconds on two cores per weight, or per token and weight: gpt-neo-small and a model of 1.3 B weights agree within a third.
const CALIBRATING = 7e-11;
const QUANTIZING = 2.5e-7;
const MEASURING = 3e-11;

/** What the time of a run depends on. */
export interface Extent {
  readonly weights: number;
  readonly calibrationTokens: number;
  readonly measuredTokens: number;
  readonly passes: number;
  /** Whether each pass is measured, as a search for a divergence does, or only the last. */
  readonly measuresEach: boolean;
}

/** Returns the stages of a run that goes as runs mostly do. */
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
