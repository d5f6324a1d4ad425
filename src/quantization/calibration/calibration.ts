import type { Model } from '../../core/model.js';
import type { TokenizedSentences } from '../../evaluation/embedding/compare.js';
import { openEmbeddingProgram } from '../../inference/embedding/program.js';
import { openProgram, type Trunk } from '../../inference/program.js';
import type { Runtime } from '../../onnx/runtime.js';
import { CalibrationBatches, type CalibrationWindow } from './batches.js';
import { EmbeddingPass } from './embedding-pass.js';
import { type EndPass, HeadPass } from './head-pass.js';
import { headStage, type Stage } from './stages.js';

/** A model and a tokenized text, ready for passes forward and back. */
export interface Calibration {
  readonly program: Trunk;
  readonly batches: CalibrationBatches;
  /** Makes the stage of the head; undefined for an embedding model, which has no matrices behind its last layer. */
  readonly headStage: (() => Stage) | undefined;
  openEnd(): Promise<EndPass>;
}

export interface CalibrationSettings {
  /** Seed of the sampled labels, or of the directions of embeddings. */
  readonly seed?: number | undefined;
  readonly batchTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Opens a language model's calibration. @throws {InputError} for a model that cannot be run, and windows that do not fit it. */
export async function openCalibration(
  runtime: Runtime,
  model: Model,
  windows: readonly CalibrationWindow[],
  { seed = 1, batchTokens, signal }: CalibrationSettings,
): Promise<Calibration> {
  const program = await openProgram(model, signal);
  return {
    program,
    batches: new CalibrationBatches(windows, program, batchTokens),
    headStage: () => headStage(program),
    openEnd: () => HeadPass.open(runtime, program, seed, signal),
  };
}

/** Opens an embedding model's calibration. @throws {InputError} for a model that cannot be run, and sentences that do not fit it. */
export async function openEmbeddingCalibration(
  runtime: Runtime,
  model: Model,
  { sentences, first }: TokenizedSentences,
  { seed = 1, batchTokens, signal }: CalibrationSettings,
): Promise<Calibration> {
  const program = await openEmbeddingProgram(model, signal);
  return {
    program,
    batches: new CalibrationBatches(sentences, program, batchTokens, true),
    headStage: undefined,
    openEnd: () => EmbeddingPass.open(runtime, program, { seed, first, signal }),
  };
}
