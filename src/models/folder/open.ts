import type { ByteSource } from '../../core/byte-source.js';
import { isInputError } from '../../core/errors.js';
import { lastName } from '../../core/file-name.js';
import { type Folder, type FolderFile, SingleFile } from '../../core/folder.js';
import { parseJsonObject, parsePythonJson } from '../../core/json.js';
import type { OpenOptions, SideFile } from '../../core/model.js';
import { openGguf } from '../gguf/model.js';
import { openOnnx } from '../onnx/model.js';
import { openCheckpoint } from '../pytorch/checkpoint.js';
import { FileBackedModel, openWeightSource, type StoredModel, type WeightSource } from '../stored-model.js';
import { refuseFolder } from './foreign.js';
import { excluding } from './selection.js';
import { checkShards, INDEX_NAME, parseShardIndex } from './shard-index.js';
import { filesBeside, readWhole } from './side-files.js';
import { type FoundWeights, findWeights } from './weight-names.js';

/**
 * Opens a folder in the layout of the Hub: weights in safetensors, PyTorch or GGUF files, possibly in shards, and the files beside them.
 * If there are several formats, {@link findWeights} chooses as transformers does.
 * @throws {InputError} when a required file is missing, malformed or outside the folder.
 */
export async function openFolder(whole: Folder, options: OpenOptions = {}): Promise<StoredModel> {
  const folder = excluding(whole, options.exclude);
  const files = await folder.list();
  const found = findWeights(files) ?? refuseFolder(folder, files);
  if (found.kind === 'gguf') {
    const gguf = await openGguf(folder.place(found.names[0]!), await folder.open(found.names[0]!));
    return Object.assign(gguf, { files: folder });
  }
  if (found.kind === 'onnx') return openOnnxIn(folder, files, found.names[0]!);
  const index = found.index === undefined ? undefined : await readIndex(folder, found);
  const names = index?.shards ?? found.names;
  const { sideFiles, leftOut } = await filesBeside(folder, files, names);
  const config = await readConfig(folder, files); // before any file is opened
  const weightSources = await openAll(folder, names, options);
  const state = weightSources[0]?.state;
  try {
    if (index)
      checkShards(
        index.map,
        weightSources.map((shard, i) => ({ ...shard, name: names[i]! })),
        index.place,
      );
  } catch (error) {
    await closeAll(weightSources.map(({ source }) => source));
    throw error;
  }
  const others = sideFiles.filter(
    ({ name }) => index === undefined || found.kind !== 'pytorch' || name !== found.index,
  );
  const side = index && found.kind === 'pytorch' ? [...others, asIndex(index)] : [...others];
  return assemble({
    id: folder.id,
    kind: folder.kind === 'hub' ? 'hub' : 'directory',
    ...config,
    ...(state && { state }),
    sideFiles: side.sort((a, b) => (a.name < b.name ? -1 : 1)),
    leftOut,
    weightSources,
    files: folder,
  });
}

/** Opens an ONNX file of a folder, with its external data. @throws {InputError} as {@link openOnnx}. */
async function openOnnxIn(folder: Folder, files: readonly FolderFile[], name: string): Promise<StoredModel> {
  const about = { ...(await readConfig(folder, files)), ...(await filesBeside(folder, files, [name])) };
  const isThere = new Set(files.map((file) => file.name));
  return openOnnx(folder.id, await folder.open(name), {
    name,
    about,
    files: folder,
    beside: async (other) => (isThere.has(other) ? folder.open(other) : undefined),
  });
}

/**
 * Opens a single `.safetensors` file, without the files beside it. The result owns the source.
 * @throws {InputError} when it is malformed.
 */
export async function openSafetensorsFile(id: string, source: ByteSource): Promise<StoredModel> {
  const weightSources = [await openWeightSource(lastName(id), source)];
  const files = new SingleFile(id, source);
  return assemble({ id, kind: 'safetensors', config: undefined, sideFiles: [], weightSources, files });
}

/** Opens a single PyTorch checkpoint. The result owns the source. @throws {InputError} when it is malformed. */
export async function openTorchFile(
  id: string,
  source: ByteSource,
  { state: requested }: OpenOptions = {},
): Promise<StoredModel> {
  const opened = await openCheckpoint(asSafetensors(lastName(id)), source, requested);
  const parts = { id, kind: 'pytorch', config: undefined, sideFiles: [], weightSources: [opened] } as const;
  const { state } = opened;
  return assemble({ ...parts, ...(state && { state }), files: new SingleFile(id, source) });
}

/** Returns the name that transformers expects for the same weights in safetensors. */
function asSafetensors(name: string): string {
  return `${name.replace(/^pytorch_model/, 'model').replace(/\.[^.]+$/, '')}.safetensors`;
}

interface Index {
  readonly map: ReadonlyMap<string, string>;
  readonly shards: readonly string[];
  readonly bytes: Uint8Array;
  /** Path or address for messages. */
  readonly place: string;
}

async function readIndex(folder: Folder, { kind, index }: FoundWeights): Promise<Index> {
  const place = folder.place(index!);
  const bytes = await readWhole(folder, index!);
  const map = parseShardIndex(bytes, place, kind === 'pytorch' ? '.bin' : '.safetensors');
  return { map, shards: [...new Set(map.values())].sort(), bytes, place };
}

/** Converts an index of .bin shards to one of safetensors shards. */
function asIndex({ bytes, map, place }: Index): SideFile {
  const { value } = parseJsonObject(bytes, place);
  const weight_map = Object.fromEntries([...map].map(([tensor, shard]) => [tensor, asSafetensors(shard)]));
  const written = new TextEncoder().encode(JSON.stringify({ ...value, weight_map }, null, 2));
  return { name: INDEX_NAME, lengthBytes: written.length, read: async () => written };
}

async function openAll(
  folder: Folder,
  names: readonly string[],
  { state }: OpenOptions,
): Promise<(WeightSource & { readonly state?: string })[]> {
  const opened: (WeightSource & { readonly state?: string })[] = [];
  try {
    for (const name of names) {
      const source = await folder.open(name);
      const isSafetensors = name.endsWith('.safetensors');
      opened.push(
        await (isSafetensors
          ? openWeightSource(name, source)
          : openCheckpoint(asSafetensors(name), source, state)),
      );
    }
    return opened;
  } catch (error) {
    await closeAll(opened.map(({ source }) => source));
    throw error;
  }
}

async function assemble(parts: ConstructorParameters<typeof FileBackedModel>[0]): Promise<StoredModel> {
  try {
    return new FileBackedModel(parts);
  } catch (error) {
    await closeAll(parts.weightSources.map(({ source }) => source));
    throw error;
  }
}

async function closeAll(sources: readonly ByteSource[]): Promise<void> {
  await Promise.all(sources.map((source) => source.close()));
}

/** Reads config.json, if there is one. An unreadable one is returned as `configError`, to be thrown by code that needs it. */
export async function readConfig(folder: Folder, files: readonly FolderFile[]) {
  if (!files.some(({ name }) => name === 'config.json')) return { config: undefined };
  const bytes = await readWhole(folder, 'config.json');
  try {
    return { config: parsePythonJson(bytes, folder.place('config.json')) };
  } catch (error) {
    if (!isInputError(error)) throw error;
    return { config: undefined, configError: error };
  }
}
