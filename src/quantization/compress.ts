import { TRELLIS } from '../codecs/codec.js';
import type { Model } from '../core/model.js';
import type { Progress } from '../core/progress.js';
import { type CalibrationSource, calibrate, expectedTokens } from './calibration/calibrate.js';
import { finishLossless } from './lossless-candidate.js';
import { writeMinimum } from './minimum-size.js';
import { Pipeline } from './pipeline.js';
import { type CompressionPlan, planCompression } from './plan.js';
import { type Prepared, prepare } from './prepare.js';
import { Stages } from './progress.js';
import type { Budget } from './rate-control/budget.js';
import { cannotMeet } from './rate-control/messages.js';
import { searchCandidate } from './search.js';

export interface LossyOptions {
  readonly budget: Budget;
  readonly threads?: number | undefined;
  readonly force?: boolean | undefined;
  /** The calibration text; without it all relative errors count the same, and nothing is measured. */
  readonly calibration?: CalibrationSource | undefined;
  /** Whether norms and biases of small models are tuned at the end; helps below about 2.3 bits per weight. */
  readonly tune?: boolean | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the compression, without output. */
  readonly signal?: AbortSignal | undefined;
}

export interface LossyResult {
  /** Message that the file is below its budget; undefined if the budget is used up. */
  readonly note: string | undefined;
}

/**
 * Compresses a model to a budget. The steps of all matrices follow from one number, which is searched until the file's real size, or
 * its measured divergence, meets the budget. A budget is an upper limit: if it allows more than the codec can use, the file is the
 * best one below it, or lossless if that fits.
 * @throws {InputError} when the budget cannot be met (before calibration, naming the nearest that can), or like lossless compression.
 */
export async function compressLossy(
  model: Model,
  output: string,
  options: LossyOptions,
): Promise<LossyResult> {
  const { calibration, threads, signal, tune = false } = options;
  const prepared = await prepare(model, output, { codec: TRELLIS }, options);
  const tokens = calibration && expectedTokens(model, calibration);
  const plan = planCompression({ ...prepared, tune, tokens });
  const stages = new Stages(plan.stages, options.onProgress);
  if (plan.goal.kind === 'bytes') {
    await checkMinimum(prepared, plan);
    const note = await finishLossless(prepared, stages.begin('compressing', 'bytes'), signal);
    if (note) return { note };
  }

  const onProgress = stages.begin('calibrating', 'tokens');
  const calibrated = calibration && (await calibrate(model, output, calibration, onProgress, signal));
  try {
    const pipeline = await Pipeline.open({ ...prepared, plan, calibrated, stages, threads, signal });
    try {
      const { quality, note } = await searchCandidate(plan, pipeline);
      const bytes = await pipeline.finish(quality);
      return { note: note?.(bytes) };
    } finally {
      await pipeline.close();
    }
  } finally {
    await Promise.all([prepared.candidate.discard(), calibrated?.close()]);
  }
}

/** Checks that a file of zeros meets the budget. @throws {InputError} when it does not, naming its size. */
async function checkMinimum(
  { candidate, model, goal }: Prepared,
  { tensors }: CompressionPlan,
): Promise<void> {
  try {
    const bytes = await writeMinimum(candidate, model, tensors);
    if (bytes > goal.max) throw cannotMeet(goal, bytes);
  } finally {
    await candidate.discard();
  }
}
