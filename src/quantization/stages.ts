import type { Model } from '../core/model.js';
import { expectedTokens } from './calibration/calibrate.js';
import type { LossyOptions } from './compress.js';
import { planStages, Remaining } from './remaining.js';

/** Passes over models with fewer weights are so cheap that one is spent on learning prices, and the model is tuned. */
export const CHEAP_WEIGHTS = 1e8;
/** Hears of work done and all work of a stage. */
export type OnProgress = (done: number, total: number) => void;

/** Passes that most searches take; those of cheap models learn prices besides. */
const MAX_RUNS = { cheap: 5, dear: 2 } as const;

/** Begins stages one after another. @returns for a stage, what hears of its progress. */
export function beginStages(model: Model, weights: number, { budget, calibration, onStage }: LossyOptions) {
  const tokens = calibration
    ? expectedTokens(model, calibration)
    : { calibrationTokens: 0, measuredTokens: 0 };
  const passes = MAX_RUNS[weights < CHEAP_WEIGHTS ? 'cheap' : 'dear'];
  const remaining = new Remaining(
    planStages({ weights, ...tokens, passes, measuresEach: budget.kl !== undefined }),
  );
  return (stage: string, detail?: string): OnProgress => {
    let begun = false;
    return (done, total) => {
      if (!begun) remaining.begin(stage);
      begun = true;
      const name = detail ? `${stage}, ${detail}` : stage;
      onStage?.({ name, done, total, secondsLeft: remaining.seconds(done / total) });
    };
  };
}
