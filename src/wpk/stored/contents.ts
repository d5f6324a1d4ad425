import type { ByteSource } from '../../core/byte-source.js';
import type { Folder, FolderFile, LeftOut } from '../../core/folder.js';
import { isPlainObject } from '../../core/json.js';
import { isPointer, MAX_POINTER_BYTES, POINTER_PREFIX_BYTES } from '../../core/lfs-pointer.js';
import { sumOf } from '../../core/sum.js';
import { readConfig } from '../../models/folder/open.js';
import { type SelectOptions, selectFiles } from '../../models/folder/selection.js';
import { readWhole } from '../../models/folder/side-files.js';
import { findWeights, isWeightName } from '../../models/folder/weight-names.js';
import type { WeightSource } from '../../models/stored-model.js';
import { MAX_TENSORS } from '../directory.js';
import { deflate } from '../frames.js';
import { measureElements } from './guess.js';
import { type ExternalFile, readOnnxFiles } from './onnx-files.js';
import { type KnownOnnx, readStored } from './read.js';

/** Smaller files without tensors are deflated; larger ones are deflated or coded in blocks, whichever is shorter. */
const SMALL_BYTES = 2 ** 20;
/** Larger files are not deflated: that is ten times slower than coding blocks. */
const MAX_DEFLATED_BYTES = 2 ** 28;

/** A file that is stored in blocks: parsed weights, or bytes. */
export interface StoredWeights extends WeightSource {
  /** Whether it belongs to the model that the folder is opened as. */
  readonly isModel: boolean;
}

/** The content of a lossless file of a folder. */
export interface Contents {
  readonly id: string;
  readonly config: Readonly<Record<string, unknown>> | undefined;
  /** Files that are deflated, sorted by name. */
  readonly sideFiles: readonly FolderFile[];
  readonly weightSources: readonly StoredWeights[];
  readonly emptyFolders: readonly string[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * Reads headers and samples of all files of a folder. Files of unknown formats are stored as bytes.
 * Weight files stay open; {@link closeContents} closes them.
 * @throws {InputError} naming a file that cannot be read or stored.
 */
export async function readContents(folder: Folder, options: SelectOptions = {}): Promise<Contents> {
  const { files, emptyFolders, leftOut } = await selectFiles(folder, options);
  const onnx = await readOnnxFiles(folder, files, leftOut);
  const { config } = await readConfig(folder, files).catch(() => ({ config: undefined }));
  const model = await modelNames(folder, files);
  const sideFiles: FolderFile[] = [];
  const opened: WeightSource[] = [];
  let room = MAX_TENSORS;
  try {
    for (const file of files) {
      const { name } = file;
      const known = {
        header: onnx.headers.get(name),
        error: onnx.errors.get(name),
        external: onnx.external.get(name)?.tensors,
      };
      const weights = await asWeights(folder, file, room, known);
      if (weights) opened.push(weights);
      else sideFiles.push(file);
      room -= weights?.tensors.length ?? 0;
    }
  } catch (error) {
    await closeContents({ weightSources: opened });
    throw error;
  }
  const isModel = modelTest(model, onnx.external, opened);
  const weightSources = opened.map((weights) => ({ ...weights, isModel: isModel(weights) }));
  return {
    id: folder.id,
    config,
    sideFiles,
    weightSources,
    emptyFolders,
    leftOut: [...leftOut, ...onnx.leftOut],
  };
}

/** Closes the files opened by {@link readContents}. */
export async function closeContents({
  weightSources,
}: {
  readonly weightSources: readonly WeightSource[];
}): Promise<void> {
  await Promise.all(weightSources.map(({ source }) => source.close()));
}

/** Returns the names of the folder's model files; undefined if it has no known model. */
async function modelNames(
  folder: Folder,
  files: readonly FolderFile[],
): Promise<readonly string[] | undefined> {
  const found = findWeights(files);
  if (found?.index === undefined) return found?.names;
  try {
    const index: unknown = JSON.parse(new TextDecoder().decode(await readWhole(folder, found.index)));
    const map = isPlainObject(index) && index.weight_map;
    return isPlainObject(map) ? Object.values(map).filter((name) => typeof name === 'string') : undefined;
  } catch {
    return undefined; // an index that cannot be read names nothing
  }
}

/**
 * Returns a test for files of the model. Without a known model all weight files are, unless tensor names are not unique. External data belongs to its
 * ONNX files; what several of them share may have a name twice, so it belongs to the model only if all do.
 */
function modelTest(
  model: readonly string[] | undefined,
  external: ReadonlyMap<string, ExternalFile>,
  all: readonly WeightSource[],
) {
  const tensors = all.flatMap((file) => file.tensors.map(({ name }) => name));
  const isUnique = new Set(tensors).size === tensors.length;
  return ({ name, format }: WeightSource): boolean => {
    if (format === 'bytes') return false;
    const owners = external.get(name)?.owners ?? [name];
    return model ? owners.every((owner) => model.includes(owner)) : isUnique;
  };
}

/** Opens a file that is stored in blocks or needs a note; returns undefined for a file to deflate. */
async function asWeights(
  folder: Folder,
  file: FolderFile,
  maxTensors: number,
  known: KnownOnnx,
): Promise<WeightSource | undefined> {
  const expected = isWeightName(file.name) || known.external !== undefined;
  const isSmall = file.lengthBytes <= SMALL_BYTES;
  if (!expected && isSmall && !(await standsForAnother(folder, file))) return undefined;
  const source = await folder.open(file.name);
  try {
    const weights = await readStored(file.name, source, expected, maxTensors, known);
    // an ONNX file describes the tensors of others even where all of its own are too small
    const isRead =
      weights.format !== 'bytes' && (weights.tensors.length > 0 || !!known.header?.tensors.length);
    if (isRead || weights.note !== undefined || !(await deflatesBetter(source))) return weights;
  } catch (error) {
    await source.close();
    throw error;
  }
  await source.close();
  return undefined;
}

/** Returns true for a git-lfs pointer, which is stored with a note. The Hub serves none. */
async function standsForAnother(folder: Folder, { name, lengthBytes }: FolderFile): Promise<boolean> {
  if (folder.kind === 'hub' || lengthBytes >= MAX_POINTER_BYTES) return false;
  const source = await folder.open(name);
  try {
    return isPointer(await source.read(0, Math.min(POINTER_PREFIX_BYTES, source.byteLength)));
  } finally {
    await source.close();
  }
}

async function deflatesBetter(source: ByteSource): Promise<boolean> {
  if (source.byteLength <= SMALL_BYTES) return true;
  if (source.byteLength > MAX_DEFLATED_BYTES) return false;
  const { samples, codedBytes } = await measureElements(source, 0, source.byteLength);
  return sumOf(samples, (sample) => deflate(sample).length) < codedBytes;
}
