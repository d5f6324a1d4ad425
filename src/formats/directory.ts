import { InputError } from '../errors.js';
import type { ByteSource } from '../io/source.js';
import { lastName } from './file-name.js';
import { type Folder, type FolderFile, firstOf } from './folder.js';
import { isPlainObject, kindOf, parseJsonObject } from './json.js';
import type { SideFile } from './model.js';
import { openCheckpoint } from './pytorch/checkpoint.js';
import { checkShards, INDEX_NAME, parseShardIndex, TORCH_INDEX_NAME } from './shard-index.js';
import { sideFilesOf } from './side-files.js';
import { type DirectoryModel, openWeightSource, StoredModel, type WeightSource } from './stored-model.js';

const SINGLE_NAME = 'model.safetensors';
const TORCH_NAME = 'pytorch_model.bin';
/** What the weights of a folder are looked for as, in this order. */
export const WEIGHT_NAMES = [SINGLE_NAME, INDEX_NAME, TORCH_NAME, TORCH_INDEX_NAME];

/**
 * A folder as the Hub lays it out: `model.safetensors`, or shards and their index, or the same as torch.save writes them, and the
 * files beside them. The first of these that is there is taken, as transformers does.
 * @throws {InputError} on anything missing, malformed or leaving the folder.
 */
export async function openFolder(folder: Folder): Promise<DirectoryModel> {
  const files = await folder.list();
  const sideFiles = sideFilesOf(folder, files);
  const config = await readConfig(folder, sideFiles);
  const { weightSources, index } = await openWeights(folder, files, sideFiles);
  const kept = sideFiles.map((file) => (file.name === index?.replaces ? index.file : file));
  return assemble({ id: folder.id, kind: folder.kind, config, sideFiles: kept, weightSources });
}

/**
 * One `.safetensors` file alone, without what may lie beside it. The source belongs to the result.
 * @throws {InputError}
 */
export async function openSafetensorsFile(id: string, source: ByteSource): Promise<DirectoryModel> {
  const weightSources = [await openWeightSource(lastName(id), source)];
  return assemble({ id, kind: 'safetensors', config: undefined, sideFiles: [], weightSources });
}

/** One file that torch.save wrote, alone. The source belongs to the result. @throws {InputError} */
export async function openTorchFile(id: string, source: ByteSource): Promise<DirectoryModel> {
  const weightSources = [await openCheckpoint(asSafetensors(lastName(id)), source)];
  return assemble({ id, kind: 'pytorch', config: undefined, sideFiles: [], weightSources });
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
  folder: Folder,
  files: readonly FolderFile[],
  sideFiles: readonly SideFile[],
): Promise<Opened> {
  const found = firstOf(files, WEIGHT_NAMES);
  if (found === SINGLE_NAME || found === TORCH_NAME) return { weightSources: await openAll(folder, [found]) };
  if (found !== undefined) return openShards(folder, sideFiles, found);
  const names = files.map(({ name }) => name);
  const others = names.filter((name) => /\.(safetensors|bin|pt|pth|gguf|onnx)$/.test(name)).sort();
  const seen = others.length ? `found only ${others.slice(0, 3).join(', ')}` : 'found no weights';
  throw new InputError(`expected ${SINGLE_NAME} or ${INDEX_NAME} in the folder, ${seen}`, {
    file: folder.id,
  });
}

async function openShards(
  folder: Folder,
  sideFiles: readonly SideFile[],
  indexName: string,
): Promise<Opened> {
  const place = folder.place(indexName);
  const isTorch = indexName === TORCH_INDEX_NAME;
  const bytes = await sideFiles.find(({ name }) => name === indexName)!.read();
  const index = parseShardIndex(bytes, place, isTorch ? '.bin' : '.safetensors');
  const shards = [...new Set(index.values())].sort();
  const weightSources = await openAll(folder, shards);
  const asStored = weightSources.map((shard, i) => ({ ...shard, name: shards[i]! }));
  try {
    checkShards(index, asStored, place);
  } catch (error) {
    await closeAll(weightSources.map(({ source }) => source));
    throw error;
  }
  if (!isTorch) return { weightSources };
  return { weightSources, index: { replaces: indexName, file: safetensorsIndex(bytes, index, place) } };
}

/** An index of .bin shards as one of the safetensors that they are taken for. */
function safetensorsIndex(bytes: Uint8Array, index: ReadonlyMap<string, string>, path: string): SideFile {
  const { value } = parseJsonObject(bytes, path);
  const weight_map = Object.fromEntries([...index].map(([tensor, shard]) => [tensor, asSafetensors(shard)]));
  const written = new TextEncoder().encode(JSON.stringify({ ...value, weight_map }, null, 2));
  return { name: INDEX_NAME, lengthBytes: written.length, read: async () => written };
}

async function openAll(folder: Folder, names: readonly string[]): Promise<WeightSource[]> {
  const opened: WeightSource[] = [];
  try {
    for (const name of names) {
      const source = await folder.open(name);
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

async function readConfig(folder: Folder, sideFiles: readonly SideFile[]) {
  const bytes = await sideFiles.find(({ name }) => name === 'config.json')?.read();
  return bytes && parseConfig(bytes, folder.place('config.json'));
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
