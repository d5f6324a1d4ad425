import type { Model } from '../../core/model.js';
import type { TokenizedSentences } from '../../evaluation/embedding/compare.js';
import type { Runtime } from '../../onnx/runtime.js';
import { type ArrayStore, memoryStore } from './array-store.js';
import { Backpropagation } from './backpropagation.js';
import type { CalibrationWindow } from './batches.js';
import { type Calibration, openCalibration, openEmbeddingCalibration } from './calibration.js';
import type { StatisticsSink } from './statistics.js';
import { Summing } from './summing.js';

export interface CollectOptions {
  /** Seed of the sampled labels. */
  readonly seed?: number | undefined;
  /** Stores hidden states for the backward pass; by default in memory. */
  readonly store?: ArrayStore | undefined;
  /** Tokens per batch; it changes results only by rounding. */
  readonly batchTokens?: number | undefined;
  /** Called with the completed and the total work, in tokens times layers; backward passes count three times. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Collects second moments of every matrix's inputs and of the gradients of its outputs; see {@link TensorMoments}. The forward pass
 * stores the input of each layer; the backward pass recomputes each layer's inner values, so that memory holds one layer.
 * Statistics reach the sink from the head to the embedding, as soon as each layer is done.
 * @param windows all of one length. Causal models predict at all positions, masked models at those that a window lists.
 * @throws {InputError} for a model that cannot be run, and windows that do not fit it.
 */
export async function collectStatistics(
  runtime: Runtime,
  model: Model,
  windows: readonly CalibrationWindow[],
  sink: StatisticsSink,
  options: CollectOptions = {},
): Promise<void> {
  await collect(runtime, await openCalibration(runtime, model, windows, options), sink, options);
}

/**
 * Collects the same for an embedding model: gradients are those of the embedding of each sentence, divided by its length, along random
 * directions, so that an error E of a matrix costs about 1/2 tr(outputs E inputs E^T) of the cosine between embeddings.
 * @param given sentences of any lengths.
 * @throws {InputError} for a model that cannot be run, and sentences that do not fit it.
 */
export async function collectEmbeddingStatistics(
  runtime: Runtime,
  model: Model,
  sentences: TokenizedSentences,
  sink: StatisticsSink,
  options: CollectOptions = {},
): Promise<void> {
  await collect(runtime, await openEmbeddingCalibration(runtime, model, sentences, options), sink, options);
}

async function collect(
  runtime: Runtime,
  calibration: Calibration,
  sink: StatisticsSink,
  { store = memoryStore, onProgress, signal }: CollectOptions,
): Promise<void> {
  const summing = new Summing(runtime, calibration.batches, sink);
  await new Backpropagation(runtime, calibration, { store, onProgress, signal }).run(summing);
  await summing.finish();
}
