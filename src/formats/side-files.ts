import { InputError } from '../errors.js';
import { isPlainFileName } from './file-name.js';
import type { Folder, FolderFile } from './folder.js';
import type { SideFile } from './model.js';

/** The largest file taken along with the weights. The largest tokenizers have some 35 MB. */
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
const TAKEN_ALONG = /\.(json|txt|md)$|^(licen[sc]e|notice|copying)/i;
const WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|onnx|gguf|h5|msgpack|wpk)$/i;

/**
 * The files of a model's folder that travel with its weights, sorted by name: config, tokenizer, card, licence and
 * other small texts. Subfolders, hidden files and weights in other formats are left out. Nothing is read yet.
 * @throws {InputError} when an essential one is over {@link SIDE_FILE_LIMIT_BYTES}.
 */
export function sideFilesOf(folder: Folder, files: readonly FolderFile[]): SideFile[] {
  const taken = files.filter(({ name }) => isSideFile(name));
  for (const { name, lengthBytes } of taken)
    if (ESSENTIAL.has(name) && lengthBytes > SIDE_FILE_LIMIT_BYTES)
      throw new InputError(`has ${lengthBytes} bytes, over the limit of ${SIDE_FILE_LIMIT_BYTES}`, {
        file: folder.place(name),
      });
  return taken
    .filter(({ lengthBytes }) => lengthBytes <= SIDE_FILE_LIMIT_BYTES)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((file) => ({ ...file, read: () => readWhole(folder, file.name) }));
}

function isSideFile(name: string): boolean {
  return isPlainFileName(name) && !WEIGHTS.test(name) && (ESSENTIAL.has(name) || TAKEN_ALONG.test(name));
}

async function readWhole(folder: Folder, name: string): Promise<Uint8Array> {
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
