import { join } from 'node:path';
import type { Model } from '../../core/model.js';
import { isStoredModel, type WeightSource } from '../stored-model.js';

/** Files that an output must not replace. */
interface Inputs {
  readonly id: string;
  readonly kind: string;
  readonly sideFiles: readonly { readonly name: string }[];
  readonly weightSources: readonly Pick<WeightSource, 'source'>[];
}

/** Returns the paths of the files that a model is read from, its folder first. */
export function inputPaths({ id, kind, sideFiles, weightSources }: Inputs): string[] {
  const folder = kind === 'directory' ? [id, ...sideFiles.map(({ name }) => join(id, name))] : [];
  return [...folder, ...weightSources.map(({ source }) => source.name)];
}

/** Returns the paths of the files that any model is read from. */
export function inputsOf(model: Model): string[] {
  return isStoredModel(model) ? inputPaths(model) : [model.id];
}
