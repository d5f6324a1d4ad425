import { createHash } from 'node:crypto';
import type { Model, SideFile } from '../core/model.js';
import type { RunOptions } from '../core/progress.js';
import type { StoredTensor } from '../models/safetensors/header.js';
import { FileBackedModel, type StoredModel } from '../models/stored-model.js';
import { digestOf } from '../quantization/decoded-facts.js';
import { packObject, readPacked } from '../stores/checked.js';
import { openStoredFile, putFile, type StoredFile } from '../stores/content.js';
import type { Store } from '../stores/store.js';

/** What the store holds of a model: what runs and quantizes it, not its tokenizer. */
interface Description {
  readonly id: string;
  readonly kind: StoredModel['kind'];
  readonly config: StoredModel['config'] | null;
  readonly weights: readonly (StoredFile & { readonly tensors: readonly StoredTensor[] })[];
  /** Small files, of which embedding models need some. */
  readonly sideFiles: readonly { readonly name: string; readonly base64: string }[];
}

/** Larger side files are not needed to run a model: tokenizers, licenses. */
const MAX_SIDE_BYTES = 2 ** 16;

/** Copies to a store what other machines need of a model; what is there is not copied again. @returns its key. */
export async function putModel(store: Store, model: StoredModel, options: RunOptions = {}): Promise<string> {
  const weights = [];
  for (const { source, tensors, name } of model.weightSources)
    weights.push({
      ...(await putFile(store, source, { ...options, sha256: await digestOf(source) })),
      name,
      tensors,
    });
  const { id, kind, config = null } = model;
  return putSmall(store, 'models', {
    id,
    kind,
    config,
    weights,
    sideFiles: await smallFiles(model.sideFiles),
  });
}

/** Opens a model of the store. @throws {InputError} when it is not there. @throws {IntegrityError} when it is damaged. */
export async function openStoredModel(store: Store, key: string): Promise<Model> {
  const { id, kind, config, weights, sideFiles } = (await readPacked(store, key))
    .header as never as Description;
  const weightSources = [];
  for (const { tensors, ...file } of weights)
    weightSources.push({
      name: file.name,
      source: await openStoredFile(store, file),
      headerBytes: new Uint8Array(0),
      tensors,
    });
  return new FileBackedModel({
    id,
    kind,
    config: config ?? undefined,
    weightSources,
    sideFiles: sideFiles.map(({ name, base64 }) => {
      const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
      return { name, lengthBytes: bytes.length, read: async () => bytes.slice() };
    }),
    files: undefined,
    leftOut: undefined,
    configError: undefined,
    state: undefined,
    notRun: undefined,
  });
}

async function smallFiles(files: readonly SideFile[]): Promise<Description['sideFiles']> {
  const small = files.filter(({ lengthBytes }) => lengthBytes <= MAX_SIDE_BYTES);
  return Promise.all(
    small.map(async (file) => ({
      name: file.name,
      base64: Buffer.from(await file.read()).toString('base64'),
    })),
  );
}

/** Writes a small object under its own digest. @returns its key. */
export async function putSmall(
  store: Store,
  folder: string,
  header: object,
  arrays: Parameters<typeof packObject>[1] = [],
): Promise<string> {
  const bytes = packObject(header as Record<string, unknown>, arrays);
  const key = `${folder}/${createHash('sha256').update(bytes).digest('hex')}`;
  if ((await store.size(key)) === undefined) await store.write(key, [bytes]);
  return key;
}
