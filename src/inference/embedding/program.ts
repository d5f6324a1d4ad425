import { planForward, sentenceGraph } from '../../architectures/forward.js';
import { weightsInput } from '../../architectures/graphs/pooling.js';
import { tokenWeights } from '../../architectures/pooling.js';
import { findFamily } from '../../architectures/registry.js';
import { HEAD_SLOTS } from '../../architectures/slots.js';
import { placeOf } from '../../architectures/tensor-roles.js';
import { isInputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { unpacked } from '../../models/packed/view.js';
import type { Feeds, Runtime } from '../../onnx/runtime.js';
import { buildStages, compareCopies, planOf, type Stage, type Trunk } from '../program.js';
import { type EmbeddingModules, MODULES_FILE, readModules } from './modules.js';

/** An embedding model. */
export interface EmbeddingProgram extends Trunk {
  readonly modules: EmbeddingModules;
  /** Maps `hidden` of sentences of one length, with {@link poolingFeeds}, to `embedding` [batch, 1, features]. */
  readonly sentences: Stage;
}

/**
 * Returns whether a model gives embeddings of sentences: it has sentence-transformers' modules.json, or is an encoder without a head.
 */
export function isEmbeddingModel(model: Model): boolean {
  return model.sideFiles.some(({ name }) => name === MODULES_FILE) || isBareEncoder(model);
}

function isBareEncoder({ config, tensors }: Model): boolean {
  const family = findFamily(config);
  if (!family || tensors.some(({ name }) => HEAD_SLOTS.has(placeOf(name, family)?.slot as never)))
    return false;
  try {
    return planForward(family, config!, { anyFields: true }).kind === 'masked';
  } catch (error) {
    if (isInputError(error)) return false;
    throw error;
  }
}

/**
 * Opens an embedding model, with floats for packed weights, and compares its tied tensors.
 * @throws {InputError} as {@link buildStages} and {@link readModules}.
 */
export async function openEmbeddingProgram(model: Model, signal?: AbortSignal): Promise<EmbeddingProgram> {
  const floats = await unpacked(model, signal);
  const { family, hiddenSize } = planOf(floats);
  const modules = await readModules(floats, hiddenSize);
  const isOfHead = (name: string) => HEAD_SLOTS.has(placeOf(name, family)?.slot as never);
  const { end: sentences, ...trunk } = buildStages(floats, (plan) => sentenceGraph(plan, modules), isOfHead);
  const program = { ...trunk, modules, sentences };
  await compareCopies(program, signal);
  return program;
}

/** Returns the inputs of the graph of sentences other than hidden states and the checkpoint's tensors. @param first the first token that counts. */
export function poolingFeeds(
  runtime: Runtime,
  { modes, weights }: EmbeddingModules,
  length: number,
  first = 0,
): Feeds {
  return Object.fromEntries([
    ...modes.map((mode) => [
      weightsInput(mode),
      runtime.floats(tokenWeights(mode, length, first), [length, 1]),
    ]),
    ...[...weights].map(([input, { values, shape }]) => [input, runtime.floats(values, shape)]),
  ]);
}
