import { tensorRole } from '../architectures/registry.js';
import { elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import type { LeftOut } from '../core/folder.js';
import type { Model } from '../core/model.js';
import { VERSION } from '../core/version.js';
import type { StoredTensor } from '../models/safetensors/header.js';
import type { WeightSource } from '../models/stored-model.js';
import { FURTHER } from './stored/role.js';

/** The content of a file: the parts of a model for lossy compression, or everything in a folder. */
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

export type Manifest = ReturnType<typeof describe>;

/** The fields of a manifest besides the files. */
export interface Naming {
  /** Name of the folder, file or Hub id. */
  readonly source: string;
  /** Options of the compression. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Index of an earlier tensor with the same bytes, for each tensor, or undefined. */
  readonly duplicates: readonly (number | undefined)[];
  /** Name of the base, if tensors may be differences from it. */
  readonly base?: string | undefined;
}

/** Returns the manifest of a file (spec/wpk-v1.md). */
export function describe(from: Described, { source, options, duplicates, base }: Naming) {
  const { config, weightSources, emptyFolders = [], leftOut = [] } = from;
  const hasModel = weightSources.some(({ isModel = true }) => isModel);
  const roleOf = (tensor: StoredTensor, isModel: boolean) =>
    tensor.role ?? (isModel || !hasModel ? tensorRole(tensor.holds ?? tensor, config) : FURTHER);
  return {
    generator: `weightpress ${VERSION}`,
    source,
    options,
    ...(base !== undefined && { base: { name: base } }),
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

/** Returns the original size of a file or tensor that was converted from another format. */
function sourceLength(storedBytes: number | undefined) {
  return storedBytes === undefined ? {} : { sourceLength: storedBytes };
}

/** Checks that a model has weights. @throws {InputError} for a model without a single element. */
export function requireElements({ id, tensors }: Pick<Model, 'id' | 'tensors'>): void {
  if (tensors.some(({ lengthBytes }) => lengthBytes > 0)) return;
  throw new InputError('has no weights; lossless compress stores the files unchanged', { file: id });
}
