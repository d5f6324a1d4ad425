import { InputError } from '../core/errors.js';
import { type Model, originalBytes, type TensorInfo } from '../core/model.js';
import { checkOutput } from '../io/node/checked-output.js';
import { isConvertedView, isStoredModel, type StoredModel } from '../models/stored-model.js';
import { requireElements } from '../wpk/manifest.js';
import { describeFiles, inputPaths } from '../wpk/node/manifest.js';
import { type CalibrationSource, calibrate } from './calibration/calibrate.js';
import { Candidate } from './candidate.js';
import { type Exact, exactGroups, findExact, weightsIn, withBuffers } from './exact.js';
import { ModelQuantizer } from './model-quantizer.js';
import { measureCandidate, qualityReport, tuneCandidate } from './quality.js';
import { type Budget, checkBudget, type Goal, goalOf } from './rate-control/budget.js';
import { cannotMeet, LOST_NOTHING, search } from './rate-control/find.js';
import { writeLeast } from './rate-control/minimum.js';
import { SampledRateModel } from './rate-control/sampled-rate-model.js';
import { Scratch } from './scratch.js';
import { beginStages, CHEAP_WEIGHTS, type OnProgress } from './stages.js';
import { mayFit, writeWhole } from './whole.js';

/** What a lossy compression is at. */
export interface Stage {
  readonly name: string;
  readonly done: number;
  readonly total: number;
  /** Seconds that the whole run will still take, as far as can be told. */
  readonly secondsLeft: number | undefined;
}

export interface LossyOptions {
  readonly budget: Budget;
  readonly threads?: number | undefined;
  readonly force?: boolean | undefined;
  /** What errors cost, and where quality is measured; without it weights alone decide, and nothing can be measured. */
  readonly calibration?: CalibrationSource | undefined;
  /** Whether norms and biases are tuned at the end, where the model is small enough for it; pays below about 2.3 bits. */
  readonly tune?: boolean | undefined;
  readonly onStage?: ((stage: Stage) => void) | undefined;
}

export interface LossyResult {
  /** Says that the budget allows more than the file takes: an upper limit is no aim. Undefined when it is used up. */
  readonly note: string | undefined;
}

/** A step so much larger or smaller moves weights to contexts whose prices are not known. */
const FAR = 1.3;

/** Fewer windows would be learned by heart. */
const MIN_TUNING_WINDOWS = 16;

/**
 * Compresses a model to a budget: the steps of all matrices follow from one number, which is searched until the file's real size, or
 * the divergence measured on it, is what was asked for. A budget is an upper limit: where more is allowed than the codec can use, the
 * file is the best within it, and lossless where that fits.
 * @throws {InputError} when the budget cannot be met (naming the nearest that can, before anything is calibrated), or as lossless compression does.
 */
export async function compressLossy(
  model: Model,
  output: string,
  options: LossyOptions,
): Promise<LossyResult> {
  if (!isStoredModel(model))
    throw new InputError('is a .wpk already; expected a folder or a .safetensors file', { file: model.id });
  checkBudget(options.budget);
  requireElements(model);
  await checkOutput(output, inputPaths(model), options.force ?? false);
  const exact = await findExact(model, model.tensors);
  const described = await describeFiles(model, {
    codec: 'trellis',
    budget: options.budget,
    exact: exactGroups(exact),
  });
  const manifest = withBuffers(described, exact);
  const candidate = new Candidate(output, model, manifest, options.force ?? false);
  const unique = model.tensors.filter((_, i) => manifest.tensors[i]!.sameAs === undefined);
  const parameters = weightsIn(unique, exact);
  const goal = goalOf(options.budget, {
    originalBytes: originalBytes(model),
    sideBytes: await candidate.sideBytes(),
    parameters,
  });
  const begin = beginStages(model, parameters, options);
  try {
    if (goal.kind === 'bytes' && (await fitsWhole({ candidate, model, unique, exact, goal, begin }))) {
      await candidate.finish(undefined, options.threads, goal.most);
      return { note: `the budget of ${goal.most} bytes is enough to lose nothing: ${LOST_NOTHING}` };
    }
  } finally {
    await candidate.discard(); // what was tried is nothing to keep while statistics are collected
  }
  const calibrated =
    options.calibration && (await calibrate(model, output, options.calibration, begin('calibrating')));
  const scratch = await Scratch.create(output).catch(async (error) => {
    await calibrated?.close();
    throw error;
  });
  let pass = 0;
  let onPass: OnProgress = () => {};
  const passes = new ModelQuantizer(model, unique, calibrated?.statistics, scratch, {
    threads: options.threads,
    exact,
    onProgress: (done, total) => onPass(done, total),
  });
  try {
    let before: number | undefined;
    const run = (step: number) => {
      onPass = begin('quantizing', `pass ${++pass}`);
      return passes.run(step);
    };
    const write = async (step: number) => {
      // prices of contexts that no pass has seen are guesses, which forbid weights that are rare there
      const isFar = before === undefined || Math.max(step / before, before / step) > FAR;
      if (isFar && passes.weights < CHEAP_WEIGHTS) await run(step);
      before = step;
      const { tables, tensors } = await run(step);
      return candidate.write(tables, tensors);
    };
    const measure = () =>
      measureCandidate(candidate.partialPath, model, calibrated?.heldOut, begin('measuring'));
    const seen = calibrated?.seen ?? [];
    const writeAgain = (vectors: ModelQuantizer['vectors']) => {
      passes.vectors = vectors;
      const { tables, tensors } = passes.again();
      return candidate.write(tables, tensors);
    };
    const tune = async () =>
      writeAgain(await tuneCandidate(candidate.partialPath, model, seen, begin('tuning')));
    const untune = () => writeAgain(new Map());
    const isSmall = seen.length >= MIN_TUNING_WINDOWS && passes.weights < CHEAP_WEIGHTS;
    const tuned = isSmall && options.tune;
    const isDear = passes.weights >= CHEAP_WEIGHTS;
    const scout = isDear
      ? new SampledRateModel(passes, () => {
          onPass = begin('scouting');
        })
      : undefined;
    const whole = () => writeWhole(candidate, model, unique, begin('compressing'));
    const steps = { write, measure, scout, whole, untune, tune: tuned ? tune : undefined };
    const { quality, note } = await search(goal, passes, steps);
    const report = quality && qualityReport(quality, calibrated!.heldOut);
    await candidate.finish(report, options.threads, goal.kind === 'bytes' ? goal.most : undefined);
    return { note };
  } catch (error) {
    await candidate.discard();
    throw error;
  } finally {
    await Promise.all([passes.close(), scratch.close(), calibrated?.close()]);
  }
}

interface Beginning {
  readonly candidate: Candidate;
  readonly model: StoredModel;
  readonly unique: readonly TensorInfo[];
  readonly exact: Exact;
  readonly goal: Goal;
  readonly begin: (stage: string) => OnProgress;
}

/**
 * What can be told of a size before anything is calibrated: whether all of the model fits, as the candidate then has it.
 * @throws {InputError} when not even a file of zeros fits.
 */
async function fitsWhole({ candidate, model, unique, exact, goal, begin }: Beginning): Promise<boolean> {
  const least = await writeLeast(candidate, model, unique, exact);
  if (least > goal.most) throw cannotMeet(goal, { step: Number.POSITIVE_INFINITY, value: least });
  // A file that is read in another form than it lies, GGUF, would lose its blocks.
  if (isConvertedView(model) || !mayFit(unique, goal.most)) return false;
  return (await writeWhole(candidate, model, unique, begin('compressing'), goal.most)) !== undefined;
}
