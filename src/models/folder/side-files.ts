import { InputError } from '../../core/errors.js';
import type { Folder, FolderFile, LeftOut } from '../../core/folder.js';
import { isPlainObject } from '../../core/json.js';
import type { SideFile } from '../../core/model.js';
import { isWeightName } from './weight-names.js';

/** Maximum size of a side file, which is read into memory. The largest tokenizers have about 35 MB. */
export const SIDE_FILE_LIMIT_BYTES = 50_000_000;

/** Files that the model needs to load and work: over the limit they are an error, while others are left out. */
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
  'spiece.model',
  'sentencepiece.bpe.model',
  'chat_template.jinja',
  'chat_template.json',
  'preprocessor_config.json',
  'model.safetensors.index.json',
  'pytorch_model.bin.index.json',
]);

/** The files of a model's folder apart from its weights. */
export interface BesideWeights {
  /** Sorted by name, not read yet. */
  readonly sideFiles: readonly SideFile[];
  /** Files that running the model does not need: other weights, files over the limit. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * Returns the files that accompany a model's weights: all but other weights, which only a lossless .wpk contains. Weights of an embedding
 * model's further modules (sentence-transformers) do belong to it.
 * @param weights names of the model's weight files.
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
      throw new InputError(`${lengthBytes} bytes, over the limit of ${SIDE_FILE_LIMIT_BYTES}`, {
        file: folder.place(name),
      });
    if (isWeightName(name) && !modules.some((module) => name.startsWith(module)))
      leftOut.push({ ...file, reason: 'other weights, not part of a lossy file' });
    else if (isLarge)
      leftOut.push({
        ...file,
        reason: `over ${SIDE_FILE_LIMIT_BYTES} bytes and not needed to run the model`,
      });
    else sideFiles.push({ ...file, read: () => readWhole(folder, name) });
  }
  return { sideFiles, leftOut };
}

/** Returns the subfolders of sentence-transformers' modules, with a slash at the end. */
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

/** Reads a small file. @throws {InputError} when it is over {@link SIDE_FILE_LIMIT_BYTES} or cannot be read. */
export async function readWhole(folder: Folder, name: string): Promise<Uint8Array> {
  const source = await folder.open(name);
  try {
    if (source.byteLength > SIDE_FILE_LIMIT_BYTES)
      throw new InputError(`over the limit of ${SIDE_FILE_LIMIT_BYTES} bytes`, { file: source.name });
    const bytes = await source.read(0, source.byteLength);
    await source.verify?.();
    return bytes;
  } finally {
    await source.close();
  }
}
