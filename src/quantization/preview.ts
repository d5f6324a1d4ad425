import { TRELLIS } from '../codecs/codec.js';
import type { Model } from '../core/model.js';
import { unpacked } from '../models/packed/view.js';
import type { Base } from '../wpk/base.js';
import { type CalibrationSource, expectedTokens, heldOutOf } from './calibration/calibrate.js';
import { type CompressionPlan, planCompression } from './plan.js';
import { prepare } from './prepare.js';
import type { Budget } from './rate-control/budget.js';

/** What a lossy compression would do. */
export interface LossyPreview extends CompressionPlan {
  /** Tokens of the calibration and of the measurement; undefined without calibration. */
  readonly tokens: { readonly calibrationTokens: number; readonly measuredTokens: number } | undefined;
}

/** Checks input, output and budget as `compressLossy` does, and plans it, without writing. @throws {InputError} likewise. */
export async function previewLossy(
  given: Model,
  output: string,
  options: {
    readonly budget: Budget;
    readonly calibration: CalibrationSource | undefined;
    readonly tune?: boolean | undefined;
    readonly force?: boolean | undefined;
    readonly base?: Base | undefined;
  },
): Promise<LossyPreview> {
  const { calibration, tune = false } = options;
  const model = await unpacked(given);
  const prepared = await prepare(model, output, { codec: TRELLIS }, options);
  if (calibration) await heldOutOf(model, calibration); // throws if the model cannot be run, or the text is too short
  const tokens = calibration && expectedTokens(model, calibration);
  return { ...planCompression({ ...prepared, tune, tokens }), tokens };
}
