import { rm } from 'node:fs/promises';
import { InputError } from '../../errors.js';
import { elementCount } from '../../formats/dtype.js';
import type { Model } from '../../formats/model.js';
import { isDirectoryModel } from '../../formats/stored-model.js';
import { nodeRuntime } from '../../forward/runtime-node.js';
import type { Evaluation } from '../../measure/evaluate.js';
import { evaluate } from '../../measure/node.js';
import { openModel } from '../../models.js';
import { describe, inputPaths } from '../manifest.js';
import { checkOutput } from '../output.js';
import { type Budget, checkBudget, type Goal, goalOf } from './budget.js';
import { type CalibrationSource, calibrate, expectedTokens, type HeldOut } from './calibrate.js';
import { Candidate } from './candidate.js';
import { Passes } from './passes.js';
import { predictBits, predictStep } from './predict.js';
import { planStages, Remaining } from './remaining.js';
import { Scratch } from './scratch.js';
import { searchStep, type Trial } from './search.js';
import { tune } from './tune.js';

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
  const begin = stages(model, parameters, options);
  const calibrated =
    options.calibration && (await calibrate(model, output, options.calibration, begin('calibrating')));
  const scratch = await Scratch.create(`${output}.scratch`);
  let pass = 0;
  let onPass: OnProgress = () => {};
  const passes = new Passes(model, unique, calibrated?.statistics, scratch, {
    threads: options.threads,
    onProgress: (done, total) => onPass(done, total),
  });
  try {
    let before: number | undefined;
    const run = (step: number) => {
      onPass = begin('quantising', `pass ${++pass}`);
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
    const tuneAndWrite = async () => {
      passes.vectors = await tuneCandidate(candidate.partialPath, model, seen, begin('tuning'));
      const { tables, tensors } = passes.again();
      return candidate.write(tables, tensors);
    };
    const isSmall = seen.length >= LEAST_TUNING_WINDOWS && passes.weights < CHEAP_WEIGHTS;
    const tuned = isSmall && options.tune;
    const steps = { write, measure, tune: tuned ? tuneAndWrite : undefined };
    const quality = await search(goal, passes, steps);
    await candidate.finish(quality && qualityReport(quality, calibrated!.heldOut), options.threads);
    if (calibrated?.temporary) await rm(calibrated.temporary, { force: true });
  } catch (error) {
    await candidate.discard();
    throw error;
  } finally {
    await Promise.all([passes.close(), scratch.close(), calibrated?.statistics.close()]);
  }
}

type OnProgress = (done: number, total: number) => void;

/** Passes that most searches take; those of cheap models learn prices besides. */
const MOST_RUNS = { cheap: 5, dear: 3 } as const;

/** Begins stages one after another. @returns for a stage, what hears of its progress. */
function stages(model: Model, weights: number, { budget, calibration, onStage }: LossyOptions) {
  const tokens = calibration
    ? expectedTokens(model, calibration)
    : { calibrationTokens: 0, measuredTokens: 0 };
  const passes = MOST_RUNS[weights < CHEAP_WEIGHTS ? 'cheap' : 'dear'];
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

interface Steps {
  /** Quantises with a step and writes the candidate. @returns its bytes. */
  write(step: number): Promise<number>;
  /** Tunes what is not quantised, and writes the candidate again; undefined for models that are not tuned. */
  readonly tune: (() => Promise<number>) | undefined;
  /** Measures the candidate. */
  measure(): Promise<Evaluation | undefined>;
}

/** The divergence that first steps are aimed at when a size is asked for: about three bits a weight. */
const TYPICAL_KL = 0.006;
/** Passes over models with fewer weights are so cheap that one is spent on learning prices, and the model is tuned. */
const CHEAP_WEIGHTS = 1e8;
/** A step so much larger or smaller moves weights to contexts whose prices are not known. */
const FAR = 1.3;

/** Writes candidates until one meets the goal; the last one written does. @returns its quality. */
async function search(goal: Goal, passes: Passes, steps: Steps): Promise<Evaluation | undefined> {
  // docs/codec.md: the divergence is about weights * step^2 / 24
  const kl = goal.kind === 'kl' ? goal.most : TYPICAL_KL;
  const first = Math.sqrt((24 * kl) / Math.max(1, passes.weights));
  return goal.kind === 'kl' ? searchDivergence(goal, steps, first) : searchBytes(goal, passes, steps, first);
}

async function searchBytes(goal: Goal, passes: Passes, { write, tune, measure }: Steps, first: number) {
  const predict = (trials: readonly Trial[], target: number) => {
    const { step, value } = trials.at(-1)!; // the counts are its
    return predictStep(passes.counts, step, predictBits(passes.counts, 0) + 8 * (target - value));
  };
  const { met, nearest } = await searchStep(write, { ...goal, grows: false }, first, STEP_BOUNDS, predict);
  if (!met) throw cannotMeet(goal, nearest!);
  if (tune && (await tune()) > goal.most) await write(nearest!.step); // bf16 of other values may take some bytes more
  return measure();
}

/** How often the gain of tuning is guessed again before a file is left untuned. */
const MOST_GUESSES = 3;

/** Tuning comes last, so the search is for a divergence that it will bring down to the goal. */
async function searchDivergence(goal: Goal, { write, tune, measure }: Steps, first: number) {
  let quality: Evaluation | undefined;
  const divergence = async () => {
    quality = await measure();
    if (!quality?.kl) throw new InputError('--kl needs a text to measure the divergence on');
    return quality.kl.mean;
  };
  const value = async (step: number) => {
    await write(step);
    return divergence();
  };
  const predict = ([first, ...more]: readonly Trial[], target: number) =>
    more.length ? undefined : first!.step * Math.sqrt(target / first!.value);
  const find = async (gain: number, from: number) => {
    const aim = { least: goal.least * gain, most: goal.most * gain, grows: true };
    const { met, nearest } = await searchStep(value, aim, from, STEP_BOUNDS, predict);
    if (!met) throw cannotMeet(goal, nearest!);
    return nearest!;
  };
  let gain = 1.03;
  let step = first;
  for (let guess = 0; tune && guess < MOST_GUESSES; guess++) {
    const untuned = await find(gain, step);
    step = untuned.step;
    await tune();
    const tuned = await divergence();
    if (tuned <= goal.most && tuned >= goal.least) return quality;
    gain = Math.max(1, untuned.value / tuned);
  }
  await find(1, step);
  return quality;
}

export function cannotMeet({ kind, most, originalBytes }: Goal, { value }: Trial): InputError {
  const nearest =
    kind === 'kl'
      ? `${value.toPrecision(4)} nats`
      : `${value} bytes, a ratio of ${(originalBytes / value).toPrecision(4)}`;
  return new InputError(
    `the budget of ${most} ${kind === 'kl' ? 'nats' : 'bytes'} cannot be met; the nearest that can is ${nearest}`,
  );
}

/** What is stored in the file: the measures, and what they were made on. */
export function qualityReport({ model: _, against: __, ...measured }: Evaluation, { name }: HeldOut) {
  return { text: { name }, against: 'the original', ...measured };
}

/** Fewer windows would be learnt by heart. */
const LEAST_TUNING_WINDOWS = 16;

async function tuneCandidate(
  path: string,
  model: Model,
  seen: readonly (readonly number[])[],
  onProgress: OnProgress,
) {
  const compressed = await openModel(path);
  try {
    return await tune(nodeRuntime, model, compressed, seen, { onProgress });
  } finally {
    await compressed.close();
  }
}

export async function measureCandidate(
  path: string,
  model: Model,
  heldOut: HeldOut | undefined,
  onProgress: OnProgress,
) {
  if (!heldOut) return undefined;
  const compressed = await openModel(path);
  try {
    return await evaluate(compressed, {
      tokens: heldOut.tokens,
      window: heldOut.window,
      ...(heldOut.maskToken === undefined ? {} : { maskToken: heldOut.maskToken }),
      against: model,
      onProgress,
    });
  } finally {
    await compressed.close();
  }
}
