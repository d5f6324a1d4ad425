import { TRANSFORM } from '../codecs/codec.js';
import { isBlockSize, MAX_SIZE, MIN_SIZE } from '../codecs/transform/bases.js';
import type { TransformOptions } from '../codecs/transform/coefficients.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { Progress } from '../core/progress.js';
import { type CalibrationSource, heldOutOf } from '../quantization/calibration/calibrate.js';
import type { LossyResult } from '../quantization/compress.js';
import { finishLossless } from '../quantization/lossless-candidate.js';
import { prepare } from '../quantization/prepare.js';
import { Stages } from '../quantization/progress.js';
import { measureCandidate, qualityReport } from '../quantization/quality.js';
import type { Budget } from '../quantization/rate-control/budget.js';
import { cannotMeet, withinNote } from '../quantization/rate-control/messages.js';
import { searchStep } from '../quantization/rate-control/step-search.js';
import { encodeTensors, STRENGTH_SEARCH, TooFine } from './transform-encoder.js';

export interface TransformCompression {
  readonly transform: TransformOptions;
  /** Whether the largest coefficients are stored, the same share in every matrix; otherwise all are rounded, with the same relative step. */
  readonly keep: boolean;
  /** A budget of bits, size or ratio. */
  readonly budget: Budget;
  readonly force?: boolean | undefined;
  readonly threads?: number | undefined;
  /** The text whose held-out part quality is measured on; without it nothing is measured. */
  readonly calibration?: CalibrationSource | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the compression, without output. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compresses every matrix of a model with a transform, as a baseline for other codecs. Unlike in {@link compressLossy}, errors of all
 * matrices, rows and features count the same.
 * @throws {InputError} when the budget cannot be met, naming the nearest that can, or like lossless compression.
 */
export async function compressTransform(
  model: Model,
  output: string,
  options: TransformCompression,
): Promise<LossyResult> {
  const { transform, keep, calibration, signal } = options;
  checkTransform(options);
  const prepared = await prepare(model, output, { codec: TRANSFORM, ...transform, keep }, options);
  const { candidate, goal } = prepared;
  const stages = new Stages([], options.onProgress);
  const lossless = await finishLossless(prepared, stages.begin('compressing', 'bytes'), signal);
  if (lossless) return { note: lossless };

  const heldOut = calibration && (await heldOutOf(model, calibration));
  let trial = 0;
  const attempt = async (strength: number) => {
    const onProgress = stages.begin('transforming', 'weights', `try ${++trial}`);
    const tensors = encodeTensors(prepared, transform, { keep, strength }, { onProgress, signal });
    const value = await candidate.write(undefined, tensors).then(() => candidate.size(), sizeOfTooFine);
    return { step: strength, value };
  };
  try {
    const aim = { ...goal, increasing: false };
    const { met, trial: nearest } = await searchStep(
      attempt,
      aim,
      STRENGTH_SEARCH[keep ? 'keep' : 'quantize'],
    );
    if (nearest.value > goal.max) throw cannotMeet(goal, nearest.value);
    const onProgress = stages.begin('measuring', 'tokens');
    const quality =
      heldOut && (await measureCandidate(candidate.partialPath, model, heldOut, onProgress, signal));
    const bytes = await candidate.finish(quality && qualityReport(quality, heldOut!), goal.limit);
    return { note: met ? undefined : withinNote(goal, bytes) };
  } finally {
    await candidate.discard();
  }
}

/** Checks block size and budget. @throws {InputError} for an unsupported one. */
function checkTransform({ transform: { size }, budget }: TransformCompression): void {
  if (!isBlockSize(size))
    throw new InputError(`expected blocks of a power of two from ${MIN_SIZE} to ${MAX_SIZE}, found ${size}`);
  if (budget.kl !== undefined)
    throw new InputError('a transform takes a budget of bits, size or ratio, found kl');
}

function sizeOfTooFine(error: unknown): number {
  if (error instanceof TooFine) return Number.POSITIVE_INFINITY;
  throw error;
}
