import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors.js';
import { openFile } from '../io/file.js';
import { isPlainFileName } from './file-name.js';
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
 * other small texts. Subfolders, hidden files and weights in other formats are left out.
 * @throws {InputError} when an essential one is over {@link SIDE_FILE_LIMIT_BYTES}.
 */
export async function listSideFiles(directory: string): Promise<SideFile[]> {
  const names = (await readdir(directory)).filter(isSideFile).sort();
  const files: SideFile[] = [];
  for (const name of names) {
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined); // A dangling link is no file.
    if (!found?.isFile()) continue;
    if (found.size <= SIDE_FILE_LIMIT_BYTES)
      files.push({ name, lengthBytes: found.size, read: () => readWhole(path) });
    else if (ESSENTIAL.has(name))
      throw new InputError(`has ${found.size} bytes, over the limit of ${SIDE_FILE_LIMIT_BYTES}`, {
        file: path,
      });
  }
  return files;
}

function isSideFile(name: string): boolean {
  return isPlainFileName(name) && !WEIGHTS.test(name) && (ESSENTIAL.has(name) || TAKEN_ALONG.test(name));
}

async function readWhole(path: string): Promise<Uint8Array> {
  const source = await openFile(path);
  try {
    if (source.byteLength > SIDE_FILE_LIMIT_BYTES)
      throw new InputError(`grew over the limit of ${SIDE_FILE_LIMIT_BYTES} bytes`, { file: path });
    return await source.read(0, source.byteLength);
  } finally {
    await source.close();
  }
}
