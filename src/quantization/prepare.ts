import { InputError } from '../core/errors.js';
import { type Model, originalBytes, type TensorInfo } from '../core/model.js';
import { checkOutput } from '../io/node/checked-output.js';
import { isStoredModel, type StoredModel } from '../models/stored-model.js';
import { requireElements } from '../wpk/manifest.js';
import { describeFiles, inputPaths } from '../wpk/node/manifest.js';
import type { CalibrationSource } from './calibration/calibrate.js';
import { Candidate } from './candidate.js';
import { type ExactTensors, exactGroups, findExactTensors, weightsIn, withBuffers } from './exact-tensors.js';
import { maxReportBytes } from './quality.js';
import { type Budget, checkBudget, type Goal, goalOf } from './rate-control/budget.js';

/** What a lossy compression begins with. */
export interface Prepared {
  readonly model: StoredModel;
  readonly candidate: Candidate;
  /** The tensors that are stored: not those that are the same as another. */
  readonly tensors: readonly TensorInfo[];
  readonly exact: ExactTensors;
  readonly goal: Goal;
}

/** How a lossy file is made. */
export interface PrepareOptions {
  readonly budget: Budget;
  /** What the text is called that quality will be measured on; undefined where none is. */
  readonly calibration?: Pick<CalibrationSource, 'name'> | undefined;
  readonly force?: boolean | undefined;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Checks input and output, reads a model through for what must stay exact, and begins the file.
 * @param settings the codec and its options, as the file's manifest has them.
 * @throws {InputError} for a model without originals or weights, an impossible budget, and an output that is there already.
 */
export async function prepare(
  model: Model,
  output: string,
  settings: Readonly<Record<string, unknown>>,
  { budget, calibration, force = false, threads, signal }: PrepareOptions,
): Promise<Prepared> {
  if (!isStoredModel(model))
    throw new InputError('is a .wpk already; expected a folder or a .safetensors file', { file: model.id });
  checkBudget(budget);
  requireElements(model);
  await checkOutput(output, inputPaths(model), force);
  const exact = await findExactTensors(model, signal);
  const described = await describeFiles(model, { ...settings, budget, exact: exactGroups(exact) });
  const manifest = withBuffers(described, exact);
  const candidate = new Candidate(output, model, manifest, { force, threads, signal });
  const tensors = model.tensors.filter((_, i) => manifest.tensors[i]!.sameAs === undefined);
  const goal = goalOf(budget, {
    originalBytes: originalBytes(model),
    sideBytes: await candidate.sideBytes(),
    parameters: weightsIn(tensors, exact),
    reportBytes: calibration ? maxReportBytes(calibration.name) : 0,
  });
  return { model, candidate, tensors, exact, goal };
}
