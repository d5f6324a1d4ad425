import { type Config, parseJsonObject } from '../core/json.js';
import type { Model } from '../core/model.js';
import { readSideFile } from '../core/side-file.js';
import { byteLevelBpe } from './byte-level-bpe.js';
import { fromSentencePiece, SENTENCEPIECE_FILES } from './sentencepiece-files.js';
import { wordPiece } from './word-piece.js';

/** tokenizer.json and tokenizer_config.json. */
export interface TokenizerFiles {
  readonly definition: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Reads a model's `tokenizer.json` and `tokenizer_config.json`, or converts older files to them; undefined if there is no tokenizer.
 * @throws {InputError} when a file is malformed.
 */
export async function readTokenizerFiles(model: Model): Promise<TokenizerFiles | undefined> {
  const config = (await readJson(model, 'tokenizer_config.json')) ?? {};
  const definition = (await readJson(model, 'tokenizer.json')) ?? (await readByteLevelBpe(model, config));
  if (definition) return { definition, config };
  return (await readSentencePiece(model, config)) ?? (await readWordPiece(model, config));
}

async function readJson(model: Model, name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await readSideFile(model, name);
  return bytes && parseJsonObject(bytes, `${model.id}, ${name}`).value;
}

async function readByteLevelBpe(model: Model, config: Readonly<Record<string, unknown>>) {
  const vocabulary = await readJson(model, 'vocab.json');
  const merges = await readSideFile(model, 'merges.txt');
  return vocabulary && merges && byteLevelBpe(vocabulary, merges, config, model.id);
}

async function readSentencePiece(model: Model, config: Config) {
  for (const name of SENTENCEPIECE_FILES) {
    const bytes = await readSideFile(model, name);
    if (!bytes) continue;
    const added = await readJson(model, 'added_tokens.json');
    const modelType = model.config?.model_type;
    return fromSentencePiece(bytes, { config, added, modelType }, `${model.id}, ${name}`);
  }
  return undefined;
}

async function readWordPiece(model: Model, config: Config) {
  const vocabulary = await readSideFile(model, 'vocab.txt');
  return vocabulary && wordPiece(vocabulary, config, model.id);
}
