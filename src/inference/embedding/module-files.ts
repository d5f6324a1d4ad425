import { elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import { widenerOf } from '../../core/floats.js';
import { isPlainObject, quote } from '../../core/json.js';
import type { Model } from '../../core/model.js';
import { readSideFile } from '../../core/side-file.js';
import { BlobSource } from '../../io/blob.js';
import { openCheckpoint } from '../../models/pytorch/checkpoint.js';
import { openWeightSource } from '../../models/stored-model.js';

/** Returns a side file's place for messages. */
export const placeOf = ({ id }: Model, name: string) => ({ file: `${id}, ${name}` });

/** Reads JSON of any kind; undefined if there is no such file. @throws {InputError} when it is malformed. */
export async function readAnyJson(model: Model, name: string): Promise<unknown> {
  const bytes = await readSideFile(model, name);
  if (!bytes) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new InputError('malformed JSON', placeOf(model, name), { cause: error });
  }
}

/** Reads a JSON object; undefined if there is no such file. @throws {InputError} when it is anything else. */
export async function readObject(
  model: Model,
  name: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const value = await readAnyJson(model, name);
  if (value === undefined || isPlainObject(value)) return value;
  throw new InputError(`expected a JSON object, found ${quote(value)}`, placeOf(model, name));
}

/** A matrix or a vector, as float32. */
export interface ModuleTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Reads the weights of a module, by name. @throws {InputError} when there are none, and as {@link openWeightSource}. */
export async function readModuleWeights(
  model: Model,
  folder: string,
): Promise<ReadonlyMap<string, ModuleTensor>> {
  const name = [`${folder}/model.safetensors`, `${folder}/pytorch_model.bin`].find((path) =>
    model.sideFiles.some((file) => file.name === path),
  );
  if (name === undefined)
    throw new InputError('missing: the weights of a module', placeOf(model, `${folder}/model.safetensors`));
  const bytes = (await readSideFile(model, name)) as Uint8Array<ArrayBuffer>;
  const given = new BlobSource(new Blob([bytes]), placeOf(model, name).file);
  const { tensors, source } = await (name.endsWith('.bin') ? openCheckpoint : openWeightSource)(name, given);
  const found = new Map<string, ModuleTensor>();
  for (const { name: tensor, dtype, shape, start, lengthBytes } of tensors) {
    const widen = widenerOf({ id: placeOf(model, name).file }, tensor, dtype);
    const values = widen(await source.read(start, start + lengthBytes));
    if (values.length !== elementCount(shape) || !values.every(Number.isFinite))
      throw new InputError('NaN or infinity', { ...placeOf(model, name), tensor });
    found.set(tensor, { shape, values });
  }
  return found;
}
