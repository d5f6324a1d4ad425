import { realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { tensorRole } from '../architectures/registry.js';
import { elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import type { LeftOut } from '../core/folder.js';
import type { Model } from '../core/model.js';
import { VERSION } from '../core/version.js';
import type { StoredTensor } from '../models/safetensors/header.js';
import type { WeightSource } from '../models/stored-model.js';
import { findDuplicates } from './duplicates.js';
import { FURTHER } from './stored/role.js';

/** What a file is made of: the parts of a model that is compressed with loss, or everything in a folder. */
export interface Described {
  readonly id: string;
  readonly config: Readonly<Record<string, unknown>> | undefined;
  readonly sideFiles: readonly {
    readonly name: string;
    readonly lengthBytes: number;
    readonly storedBytes?: number;
  }[];
  readonly weightSources: readonly (WeightSource & { readonly isModel?: boolean })[];
  readonly emptyFolders?: readonly string[];
  readonly leftOut?: readonly LeftOut[] | undefined;
}

export type Manifest = Awaited<ReturnType<typeof describe>>;

/** Returns what spec/wpk-v1.md calls the manifest. `options`: what the file is made with. */
export async function describe(from: Described, options: Readonly<Record<string, unknown>>) {
  const { config, weightSources, emptyFolders = [], leftOut = [] } = from;
  const duplicates = await findDuplicates(
    weightSources.flatMap(({ source, tensors }) =>
      tensors.map(({ dtype, lengthBytes, start }) => ({
        dtype,
        lengthBytes,
        read: (from: number, to: number) => source.read(start + from, start + to),
      })),
    ),
  );
  const hasModel = weightSources.some(({ isModel = true }) => isModel);
  const roleOf = (tensor: StoredTensor, isModel: boolean) =>
    tensor.role ?? (isModel || !hasModel ? tensorRole(tensor.holds ?? tensor, config) : FURTHER);
  return {
    generator: `weightpress ${VERSION}`,
    source: await realpath(from.id).then(basename, () => from.id),
    options,
    sideFiles: from.sideFiles.map(({ name, lengthBytes, storedBytes }) => ({
      name,
      length: lengthBytes,
      ...sourceLength(storedBytes),
    })),
    weightFiles: weightSources.map(
      ({ name, source, storedBytes, tensors, between, format, note, isModel = true }) => ({
        name,
        length: source.byteLength,
        ...sourceLength(storedBytes),
        ...(format && format !== 'safetensors' && { format }),
        ...(note !== undefined && { note }),
        ...(!isModel && { isModel }),
        tensors: tensors.length,
        ...(between && { between }),
      }),
    ),
    tensors: weightSources
      .flatMap(({ tensors, isModel = true }) => tensors.map((tensor) => ({ tensor, isModel })))
      .map(({ tensor, isModel }, i) => ({
        name: tensor.name,
        dtype: tensor.dtype,
        shape: tensor.shape,
        role: roleOf(tensor, isModel),
        ...(tensor.holds && { weights: elementCount(tensor.holds.shape), encoding: tensor.holds.encoding }),
        ...sourceLength(tensor.storedBytes),
        ...(duplicates[i] === undefined ? {} : { sameAs: duplicates[i] }),
      })),
    ...(emptyFolders.length && { emptyFolders }),
    ...(leftOut.length && {
      leftOut: leftOut.map(({ name, lengthBytes, reason }) => ({
        name,
        ...(lengthBytes !== undefined && { length: lengthBytes }),
        reason,
      })),
    }),
  };
}

/** Of what was read in another form than it is restored in. */
function sourceLength(storedBytes: number | undefined) {
  return storedBytes === undefined ? {} : { sourceLength: storedBytes };
}

/** @throws {InputError} for a model without a single element: there is nothing to quantize, convert or measure. */
export function requireElements({ id, tensors }: Pick<Model, 'id' | 'tensors'>): void {
  if (tensors.some(({ lengthBytes }) => lengthBytes > 0)) return;
  throw new InputError('holds no weights; lossless compress keeps its files as they are', { file: id });
}

/** What an output must not replace. */
interface Inputs {
  readonly id: string;
  readonly kind: string;
  readonly sideFiles: readonly { readonly name: string }[];
  readonly weightSources: readonly WeightSource[];
}

/** Returns the paths of the files that a model is read from, its folder the first. */
export function inputPaths({ id, kind, sideFiles, weightSources }: Inputs): string[] {
  const folder = kind === 'directory' ? [id, ...sideFiles.map(({ name }) => join(id, name))] : [];
  return [...folder, ...weightSources.map(({ source }) => source.name)];
}
