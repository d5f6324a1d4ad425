import { InputError } from '../../core/errors.js';
import type { Folder, FolderFile, LeftOut } from '../../core/folder.js';
import { isPlainObject } from '../../core/json.js';
import type { SideFile } from '../../core/model.js';
import { isWeightName } from './weight-names.js';

/** The largest file that is held in memory along with the weights. The largest tokenizers have some 35 MB. */
export const SIDE_FILE_LIMIT_BYTES = 50_000_000;

/** Without these the model does not load or speak as before: too large is an error, not a reason to drop them. */
const ESSENTIAL = new Set([
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'special_tokens_map.json',
  'added_tokens.json',
  'tokenizer.model',
  'chat_template.jinja',
  'preprocessor_config.json',
  'model.safetensors.index.json',
  'pytorch_model.bin.index.json',
]);

/** A model's folder without its weights. */
export interface BesideWeights {
  /** Sorted by name. Nothing is read yet. */
  readonly sideFiles: readonly SideFile[];
  /** What belongs to no model that runs: other weights, files too large to hold. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * The files that go with a model's weights: all but further weights, which only a lossless copy of the folder has. Modules of an
 * embedding model that come after its transformer are not further weights.
 * @param weights the names of the model's own.
 * @throws {InputError} when an essential file is over {@link SIDE_FILE_LIMIT_BYTES}.
 */
export async function filesBeside(
  folder: Folder,
  files: readonly FolderFile[],
  weights: readonly string[],
): Promise<BesideWeights> {
  const modules = await moduleFolders(folder, files);
  const sideFiles: SideFile[] = [];
  const leftOut: LeftOut[] = [];
  for (const file of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const { name, lengthBytes } = file;
    if (weights.includes(name)) continue;
    const isLarge = lengthBytes > SIDE_FILE_LIMIT_BYTES;
    if (isLarge && ESSENTIAL.has(name))
      throw new InputError(`has ${lengthBytes} bytes, over the limit of ${SIDE_FILE_LIMIT_BYTES}`, {
        file: folder.place(name),
      });
    if (isWeightName(name) && !modules.some((module) => name.startsWith(module)))
      leftOut.push({ ...file, reason: 'further weights, which a lossy file does not hold' });
    else if (isLarge)
      leftOut.push({
        ...file,
        reason: `over ${SIDE_FILE_LIMIT_BYTES} bytes, and not needed to run the model`,
      });
    else sideFiles.push({ ...file, read: () => readWhole(folder, name) });
  }
  return { sideFiles, leftOut };
}

/** Subfolders of sentence-transformers' modules, with a slash at the end. */
async function moduleFolders(folder: Folder, files: readonly FolderFile[]): Promise<string[]> {
  if (!files.some(({ name }) => name === 'modules.json')) return [];
  try {
    const list: unknown = JSON.parse(new TextDecoder().decode(await readWhole(folder, 'modules.json')));
    const paths = (Array.isArray(list) ? list : []).map((entry) => isPlainObject(entry) && entry.path);
    return paths
      .filter((path): path is string => typeof path === 'string' && path !== '')
      .map((path) => `${path}/`);
  } catch {
    return []; // not a list of modules
  }
}

/** All bytes of a small file. @throws {InputError} */
export async function readWhole(folder: Folder, name: string): Promise<Uint8Array> {
  const source = await folder.open(name);
  try {
    if (source.byteLength > SIDE_FILE_LIMIT_BYTES)
      throw new InputError(`grew over the limit of ${SIDE_FILE_LIMIT_BYTES} bytes`, { file: source.name });
    const bytes = await source.read(0, source.byteLength);
    await source.verify?.();
    return bytes;
  } finally {
    await source.close();
  }
}
