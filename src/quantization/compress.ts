import { TRELLIS } from '../codecs/codec.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { Progress } from '../core/progress.js';
import { isEmbeddingModel } from '../inference/embedding/program.js';
import type { Base } from '../wpk/base.js';
import { type CalibrationSource, calibrate, expectedTokens } from './calibration/calibrate.js';
import { type Execution, inProcess } from './execution.js';
import { finishLossless } from './lossless-candidate.js';
import { checkMinimum, finishMinimum, type Minimum } from './minimum-size.js';
import { Pipeline } from './pipeline.js';
import { type CompressionPlan, planCompression } from './plan.js';
import { type Prepared, prepare } from './prepare.js';
import { Stages } from './progress.js';
import type { Budget } from './rate-control/budget.js';
import { baseNote } from './rate-control/messages.js';
import { ResumableCandidates } from './resume/resumable-candidates.js';
import { UnfinishedRun } from './resume/unfinished-run.js';
import { searchCandidate } from './search.js';

export interface LossyOptions {
  readonly budget: Budget;
  readonly threads?: number | undefined;
  readonly force?: boolean | undefined;
  /** Continues an interrupted run with the same model and options on this machine: what it finished is not repeated. */
  readonly resume?: boolean | undefined;
  /** The calibration text; without it all relative errors count the same, and nothing is measured. */
  readonly calibration?: CalibrationSource | undefined;
  /** Whether norms and biases of small models are tuned at the end; helps below about 2.3 bits per weight. */
  readonly tune?: boolean | undefined;
  /** Of which the differences are stored; in this process only. */
  readonly base?: Base | undefined;
  /** Where jobs run; default: in this process. */
  readonly execution?: Execution | undefined;
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
 * @throws {InputError} when the budget cannot be met (before calibration, naming the nearest that can), or like lossless compression;
 * with the code `resumable` when the machine fails after something was finished.
 */
export async function compressLossy(
  model: Model,
  output: string,
  options: LossyOptions,
): Promise<LossyResult> {
  const { calibration, tune = false, threads, signal } = options;
  if (tune && isEmbeddingModel(model))
    throw new InputError('norms and biases of an embedding model are not tuned', { file: model.id });
  const prepared = await prepare(model, output, { codec: TRELLIS }, options);
  const { candidate, base } = prepared;
  const { execution = inProcess(threads, base) } = options;
  const tokens = calibration && expectedTokens(model, calibration);
  const plan = planCompression({ ...prepared, tune, tokens });
  const run = await UnfinishedRun.open(candidate, output, options);
  return run.finish(async () => {
    const stages = new Stages(plan.stages, run.onProgress);
    const early = run.log.hasRecorded ? {} : await finishEarly(prepared, plan, stages, options);
    const alone = base && early.loss !== undefined ? baseNote(plan.goal, early.loss) : undefined;
    if (early.note !== undefined) return { note: joinNotes(early.note, alone) };
    const onProgress = stages.begin('calibrating', 'tokens');
    const calibrated =
      calibration && (await calibrate(model, output, calibration, onProgress, signal, execution));
    if (calibrated) run.add(calibrated);
    const pipeline = await Pipeline.open({ ...prepared, plan, calibrated, stages, execution, signal });
    try {
      const candidates = new ResumableCandidates(pipeline, candidate, run.log);
      const { quality, note } = await searchCandidate(plan, candidates);
      const bytes = await candidates.finish(quality);
      return { note: joinNotes(note?.(bytes), alone) };
    } finally {
      await pipeline.close();
    }
  });
}

/**
 * Finishes a file that needs no calibration, if the budget allows one: a lossless file for a size, all zeros for a divergence.
 * @returns a message if it is finished, and what zeros lose if that was measured. @throws {InputError} when no file meets the budget.
 */
async function finishEarly(
  prepared: Prepared,
  plan: CompressionPlan,
  stages: Stages,
  { calibration, signal }: LossyOptions,
): Promise<Minimum> {
  if (plan.goal.kind !== 'bytes') {
    const onProgress = stages.begin('measuring zeros', 'tokens');
    return finishMinimum(prepared, plan, calibration!, onProgress, signal);
  }
  await checkMinimum(prepared, plan);
  const note = await finishLossless(prepared, stages.begin('compressing', 'bytes'), signal);
  return note === undefined ? {} : { note };
}

function joinNotes(...notes: readonly (string | undefined)[]): string | undefined {
  return notes.filter((note) => note !== undefined).join('; ') || undefined;
}
