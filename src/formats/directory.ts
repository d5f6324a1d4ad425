import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputError } from '../errors.js';
import { fileError, openFile } from '../io/file.js';
import type { ByteSource } from '../io/source.js';
import { isPlainObject, kindOf, parseJsonObject } from './json.js';
import type { SideFile } from './model.js';
import { openCheckpoint } from './pytorch/checkpoint.js';
import { checkShards, INDEX_NAME, parseShardIndex, TORCH_INDEX_NAME } from './shard-index.js';
import { listSideFiles } from './side-files.js';
import { type DirectoryModel, openWeightSource, StoredModel, type WeightSource } from './stored-model.js';

const SINGLE_NAME = 'model.safetensors';
const TORCH_NAME = 'pytorch_model.bin';

/**
 * A folder as the Hub lays it out: `model.safetensors`, or shards and their index, or the same as torch.save writes them, and the
 * files beside them. The first of these that is there is taken, as transformers does.
 * @throws {InputError} on anything missing, malformed or leaving the folder.
 */
export async function openDirectory(path: string): Promise<DirectoryModel> {
  const names = await readdir(path).catch((error) => {
    throw fileError(error, path);
  });
  const sideFiles = await listSideFiles(path);
  const config = await readConfig(path, sideFiles);
  const { weightSources, index } = await openWeights(path, new Set(names), sideFiles);
  const kept = sideFiles.map((file) => (file.name === index?.replaces ? index.file : file));
  return assemble({ id: path, kind: 'directory', config, sideFiles: kept, weightSources });
}

/**
 * One `.safetensors` file alone, without what may lie beside it.
 * @throws {InputError}
 */
export async function openSafetensorsFile(path: string): Promise<DirectoryModel> {
  const weightSources = [await openWeightSource(basename(path), await openFile(path))];
  return assemble({ id: path, kind: 'safetensors', config: undefined, sideFiles: [], weightSources });
}

/** One file that torch.save wrote, alone. @throws {InputError} */
export async function openTorchFile(path: string): Promise<DirectoryModel> {
  const weightSources = [await openCheckpoint(asSafetensors(basename(path)), await openFile(path))];
  return assemble({ id: path, kind: 'pytorch', config: undefined, sideFiles: [], weightSources });
}

/** The name that transformers expects once the weights are safetensors. */
function asSafetensors(name: string): string {
  return `${name.replace(/^pytorch_model/, 'model').replace(/\.[^.]+$/, '')}.safetensors`;
}

/** Weights, and where they are shards of another format the index that takes the place of theirs. */
interface Opened {
  readonly weightSources: WeightSource[];
  readonly index?: { readonly replaces: string; readonly file: SideFile };
}

async function openWeights(
  path: string,
  names: ReadonlySet<string>,
  sideFiles: readonly SideFile[],
): Promise<Opened> {
  if (names.has(SINGLE_NAME)) return { weightSources: await openAll(path, [SINGLE_NAME]) };
  if (names.has(INDEX_NAME)) return openShards(path, sideFiles, INDEX_NAME);
  if (names.has(TORCH_NAME)) return { weightSources: await openAll(path, [TORCH_NAME]) };
  if (names.has(TORCH_INDEX_NAME)) return openShards(path, sideFiles, TORCH_INDEX_NAME);
  const others = [...names].filter((name) => /\.(safetensors|bin|pt|pth|gguf|onnx)$/.test(name)).sort();
  const found = others.length ? `found only ${others.slice(0, 3).join(', ')}` : 'found no weights';
  throw new InputError(`expected ${SINGLE_NAME} or ${INDEX_NAME} in the folder, ${found}`, { file: path });
}

async function openShards(path: string, sideFiles: readonly SideFile[], indexName: string): Promise<Opened> {
  const indexPath = join(path, indexName);
  const file = sideFiles.find(({ name }) => name === indexName);
  if (!file) throw new InputError('not a regular file', { file: indexPath });
  const isTorch = indexName === TORCH_INDEX_NAME;
  const bytes = await file.read();
  const index = parseShardIndex(bytes, indexPath, isTorch ? '.bin' : '.safetensors');
  const weightSources = await openAll(path, [...new Set(index.values())].sort());
  const asStored = weightSources.map((shard) => ({ ...shard, name: basename(shard.source.name) }));
  try {
    checkShards(index, asStored, indexPath);
  } catch (error) {
    await closeAll(weightSources.map(({ source }) => source));
    throw error;
  }
  if (!isTorch) return { weightSources };
  return { weightSources, index: { replaces: indexName, file: safetensorsIndex(bytes, index, indexPath) } };
}

/** An index of .bin shards as one of the safetensors that they are taken for. */
function safetensorsIndex(bytes: Uint8Array, index: ReadonlyMap<string, string>, path: string): SideFile {
  const { value } = parseJsonObject(bytes, path);
  const weight_map = Object.fromEntries([...index].map(([tensor, shard]) => [tensor, asSafetensors(shard)]));
  const written = new TextEncoder().encode(JSON.stringify({ ...value, weight_map }, null, 2));
  return { name: INDEX_NAME, lengthBytes: written.length, read: async () => written };
}

async function openAll(path: string, names: readonly string[]): Promise<WeightSource[]> {
  const opened: WeightSource[] = [];
  try {
    for (const name of names) {
      const source = await openFile(join(path, name));
      const isTorch = name.endsWith('.bin');
      opened.push(
        await (isTorch ? openCheckpoint(asSafetensors(name), source) : openWeightSource(name, source)),
      );
    }
    return opened;
  } catch (error) {
    await closeAll(opened.map(({ source }) => source));
    throw error;
  }
}

async function assemble(parts: ConstructorParameters<typeof StoredModel>[0]): Promise<DirectoryModel> {
  try {
    return new StoredModel(parts);
  } catch (error) {
    await closeAll(parts.weightSources.map(({ source }) => source));
    throw error;
  }
}

async function closeAll(sources: readonly ByteSource[]): Promise<void> {
  await Promise.all(sources.map((source) => source.close()));
}

async function readConfig(path: string, sideFiles: readonly SideFile[]) {
  const bytes = await sideFiles.find(({ name }) => name === 'config.json')?.read();
  return bytes && parseConfig(bytes, join(path, 'config.json'));
}

/**
 * Parses config.json, leniently where transformers is: of a key written twice the last counts.
 * @throws {InputError} unless it is a JSON object.
 */
export function parseConfig(bytes: Uint8Array, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new InputError(`is not JSON (${(error as Error).message})`, { file }, { cause: error });
  }
  if (!isPlainObject(value)) throw new InputError(`expected a JSON object, found ${kindOf(value)}`, { file });
  return value;
}
