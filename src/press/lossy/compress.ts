import { rm } from 'node:fs/promises';
import { InputError } from '../../errors.js';
import { elementCount } from '../../formats/dtype.js';
import type { Model } from '../../formats/model.js';
import { isDirectoryModel } from '../../formats/stored-model.js';
import type { Evaluation } from '../../measure/evaluate.js';
import { evaluate } from '../../measure/node.js';
import { openModel } from '../../models.js';
import { describe, inputPaths } from '../manifest.js';
import { checkOutput } from '../output.js';
import { type Budget, checkBudget, type Goal, goalOf } from './budget.js';
import { type CalibrationSource, calibrate, type HeldOut } from './calibrate.js';
import { Candidate } from './candidate.js';
import { Passes } from './passes.js';
import { predictBits, predictStep } from './predict.js';
import { Scratch } from './scratch.js';
import { searchStep, type Trial } from './search.js';

/** What a lossy compression is at. */
export interface Stage {
  readonly name: string;
  readonly done: number;
  readonly total: number;
}

export interface LossyOptions {
  readonly budget: Budget;
  readonly threads?: number | undefined;
  readonly force?: boolean | undefined;
  /** What errors cost, and where quality is measured; without it weights alone decide, and nothing can be measured. */
  readonly calibration?: CalibrationSource | undefined;
  readonly onStage?: ((stage: Stage) => void) | undefined;
}

/** Bounds of the step: from where indices reach their limit to where hardly a weight is left. */
const STEP_BOUNDS = [1e-9, 1e3] as const;

/**
 * Compresses a model to a budget: the steps of all matrices follow from one number, which is searched until the file's real size, or
 * the divergence measured on it, is what was asked for.
 * @throws {InputError} when the budget cannot be met (naming the nearest that can), or as lossless compression does.
 */
export async function compressLossy(model: Model, output: string, options: LossyOptions): Promise<void> {
  if (!isDirectoryModel(model))
    throw new InputError('is a .wpk already; expected a folder or a .safetensors file', { file: model.id });
  checkBudget(options.budget);
  await checkOutput(output, inputPaths(model), options.force ?? false);
  const manifest = await describe(model, { codec: 'trellis', budget: options.budget });
  const candidate = new Candidate(output, model, manifest);
  const unique = model.tensors.filter((_, i) => manifest.tensors[i]!.sameAs === undefined);
  const parameters = unique.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const goal = goalOf(options.budget, {
    originalBytes: [...model.weightFiles, ...model.sideFiles].reduce(
      (sum, { lengthBytes }) => sum + lengthBytes,
      0,
    ),
    sideBytes: await candidate.sideBytes(),
    parameters,
  });
  const calibrated =
    options.calibration &&
    (await calibrate(model, output, options.calibration, (done, total) =>
      options.onStage?.({ name: 'calibrating', done, total }),
    ));
  const scratch = await Scratch.create(`${output}.scratch`);
  let pass = 0;
  const passes = new Passes(model, unique, calibrated?.statistics, scratch, {
    threads: options.threads,
    onProgress: (done, total) => options.onStage?.({ name: `quantising, pass ${pass}`, done, total }),
  });
  try {
    const write = async (step: number) => {
      pass++;
      const { tables, tensors } = await passes.run(step);
      return candidate.write(tables, tensors);
    };
    const measure = () => measureCandidate(candidate.partialPath, model, calibrated?.heldOut, options);
    const quality = await search(goal, passes, write, measure);
    await candidate.finish(quality && report(quality, calibrated!.heldOut), options.threads);
    if (calibrated?.temporary) await rm(calibrated.temporary, { force: true });
  } catch (error) {
    await candidate.discard();
    throw error;
  } finally {
    await Promise.all([passes.close(), scratch.close(), calibrated?.statistics.close()]);
  }
}

type Write = (step: number) => Promise<number>;
type Measure = () => Promise<Evaluation | undefined>;

/** The divergence that first steps are aimed at when a size is asked for: about three bits a weight. */
const TYPICAL_KL = 0.006;
/** Passes over models with fewer weights are so cheap that one is spent on learning prices. */
const CHEAP_WEIGHTS = 1e8;

/** Writes candidates until one meets the goal; the last one written does. @returns its quality. */
async function search(goal: Goal, passes: Passes, write: Write, measure: Measure) {
  let quality: Evaluation | undefined;
  const value =
    goal.kind === 'bytes'
      ? write
      : async (step: number) => {
          await write(step);
          quality = await measure();
          if (!quality?.kl) throw new InputError('--kl needs a text to measure the divergence on');
          return quality.kl.mean;
        };
  // docs/codec.md: the divergence is about weights * step^2 / 24
  const kl = goal.kind === 'kl' ? goal.most : TYPICAL_KL;
  const first = Math.sqrt((24 * kl) / Math.max(1, passes.weights));
  const aim = { least: goal.least, most: goal.most, grows: goal.kind === 'kl' };
  if (passes.weights < CHEAP_WEIGHTS) await write(first);
  const predict = ({ step, value }: Trial, target: number) =>
    goal.kind === 'kl'
      ? step * Math.sqrt(target / value)
      : predictStep(passes.counts, step, predictBits(passes.counts, 0) + 8 * (target - value));
  const { met, nearest } = await searchStep(value, aim, first, STEP_BOUNDS, predict);
  if (!met) {
    const unit = goal.kind === 'kl' ? 'nats' : 'bytes';
    throw new InputError(
      `the budget of ${goal.most} ${unit} cannot be met; the nearest that can is ${nearest!.value.toPrecision(6)}`,
    );
  }
  return quality ?? measure();
}

/** What is stored in the file: the measures, and what they were made on. */
function report({ model: _, against: __, ...measured }: Evaluation, { name }: HeldOut) {
  return { text: { name }, against: 'the original', ...measured };
}

async function measureCandidate(
  path: string,
  model: Model,
  heldOut: HeldOut | undefined,
  { onStage }: LossyOptions,
) {
  if (!heldOut) return undefined;
  const compressed = await openModel(path);
  try {
    return await evaluate(compressed, {
      tokens: heldOut.tokens,
      window: heldOut.window,
      ...(heldOut.maskToken === undefined ? {} : { maskToken: heldOut.maskToken }),
      against: model,
      onProgress: (done, total) => onStage?.({ name: 'measuring', done, total }),
    });
  } finally {
    await compressed.close();
  }
}
