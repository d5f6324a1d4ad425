import { InputError } from '../core/errors.js';
import { type Model, originalBytes, type TensorInfo } from '../core/model.js';
import { isEmbeddingModel } from '../inference/embedding/program.js';
import { checkOutput } from '../io/node/checked-output.js';
import { inputPaths } from '../models/node/inputs.js';
import { isStoredModel, type StoredModel } from '../models/stored-model.js';
import type { Base } from '../wpk/base.js';
import { requireElements } from '../wpk/manifest.js';
import { describeFiles } from '../wpk/node/manifest.js';
import type { CalibrationSource } from './calibration/calibrate.js';
import { Candidate } from './candidate.js';
import { type ExactTensors, exactGroups, findExactTensors, weightsIn, withBuffers } from './exact-tensors.js';
import { ModelBase } from './model-base.js';
import { maxReportBytes } from './quality.js';
import { type Budget, checkBudget, type Goal, goalOf } from './rate-control/budget.js';

/** Inputs of a lossy compression after all checks. */
export interface Prepared {
  readonly model: StoredModel;
  readonly candidate: Candidate;
  /** The stored tensors, without duplicates. */
  readonly tensors: readonly TensorInfo[];
  readonly exact: ExactTensors;
  readonly goal: Goal;
  /** Of which the differences are stored. */
  readonly base: ModelBase | undefined;
}

/** Options of {@link prepare}. */
export interface PrepareOptions {
  readonly budget: Budget;
  /** What the text is called that quality will be measured on; undefined where none is. */
  readonly calibration?: Pick<CalibrationSource, 'name'> | undefined;
  readonly force?: boolean | undefined;
  readonly threads?: number | undefined;
  /** Of which the differences are stored. */
  readonly base?: Base | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Checks input and output, scans the model for tensors that must stay exact, and starts the file.
 * @param settings the codec and its options, as stored in the manifest.
 * @throws {InputError} for a model without original files or weights, an impossible budget, and an existing output.
 */
export async function prepare(
  model: Model,
  output: string,
  settings: Readonly<Record<string, unknown>>,
  { budget, calibration, force = false, threads, base: from, signal }: PrepareOptions,
): Promise<Prepared> {
  if (!isStoredModel(model))
    throw new InputError('is already a .wpk; expected a folder or a .safetensors file', { file: model.id });
  if (model.notRun !== undefined)
    throw new InputError(`${model.notRun}; lossless compress stores its files`, { file: model.id });
  checkBudget(budget);
  const isOfEmbeddings = isEmbeddingModel(model);
  checkMeasure(model, budget, isOfEmbeddings);
  requireElements(model);
  await checkOutput(output, inputPaths(model), force);
  const exact = await findExactTensors(model, signal);
  const { packed } = model;
  const made = { ...settings, ...(packed !== undefined && { packed }), budget, exact: exactGroups(exact) };
  const base = from && (await ModelBase.of(from, model, signal));
  const described = await describeFiles(model, made, base?.opened);
  const manifest = withBuffers(described, exact);
  const candidate = new Candidate(output, model, manifest, { force, threads, base, signal });
  const tensors = model.tensors.filter((_, i) => manifest.tensors[i]!.sameAs === undefined);
  const goal = goalOf(budget, {
    originalBytes: originalBytes(model),
    sideBytes: await candidate.sideBytes(),
    parameters: weightsIn(tensors, exact),
    reportBytes: calibration ? maxReportBytes(calibration.name, isOfEmbeddings) : 0,
  });
  return { model, candidate, tensors, exact, goal, base };
}

/** @throws {InputError} for a budget in a measure that the model does not have. */
export function checkMeasure({ id }: Model, { kl, cosine }: Budget, isOfEmbeddings: boolean): void {
  if (kl !== undefined && isOfEmbeddings)
    throw new InputError(
      'is an embedding model and predicts no tokens: expected a budget of cosine, found kl',
      {
        file: id,
      },
    );
  if (cosine !== undefined && !isOfEmbeddings)
    throw new InputError('is no embedding model: expected a budget of kl, found cosine', { file: id });
}
