import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { tensorRole } from '../architectures/registry.js';
import { elementCount } from '../formats/dtype.js';
import type { DirectoryModel } from '../formats/stored-model.js';
import { VERSION } from '../version.js';
import { findDuplicates } from './duplicates.js';

export type Manifest = Awaited<ReturnType<typeof describe>>;

/** What docs/format.md calls the manifest. `options`: what the file is made with. */
export async function describe(model: DirectoryModel, options: Readonly<Record<string, unknown>>) {
  const duplicates = await findDuplicates(model);
  return {
    generator: `weightpress ${VERSION}`,
    source: await realpath(model.id).then(basename, () => model.id),
    options,
    sideFiles: model.sideFiles.map(({ name, lengthBytes, storedBytes }) => ({
      name,
      length: lengthBytes,
      ...sourceLength(storedBytes),
    })),
    weightFiles: model.weightSources.map(({ name, source, storedBytes, tensors, between }) => ({
      name,
      length: source.byteLength,
      ...sourceLength(storedBytes),
      tensors: tensors.length,
      ...(between && { between }),
    })),
    tensors: model.tensors.map((tensor, i) => ({
      name: tensor.name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      role: tensorRole(tensor.holds ?? tensor, model.config),
      ...(tensor.holds && { weights: elementCount(tensor.holds.shape), encoding: tensor.holds.encoding }),
      ...sourceLength(tensor.storedBytes),
      ...(duplicates[i] === undefined ? {} : { sameAs: duplicates[i] }),
    })),
  };
}

/** Of what was read in another form than it is restored in. */
function sourceLength(storedBytes: number | undefined) {
  return storedBytes === undefined ? {} : { sourceLength: storedBytes };
}

/** The files that a model is read from: what an output must not replace. */
export function inputPaths(model: DirectoryModel): string[] {
  const folder =
    model.kind === 'directory' ? [model.id, ...model.sideFiles.map(({ name }) => join(model.id, name))] : [];
  return [...folder, ...model.weightSources.map(({ source }) => source.name)];
}
