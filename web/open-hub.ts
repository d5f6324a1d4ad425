// Models on the Hub: which files of a repository hold its weights.
import { type HubModel, hubFile, listHubFiles } from '../dist/browser/hub.js';
import { InputError, isInputError } from '../dist/core/errors.js';
import type { FolderFile } from '../dist/core/folder.js';
import type { Config } from '../dist/core/json.js';
import { parsePythonJson } from '../dist/core/json.js';
import { findWeights } from '../dist/models/folder/weight-names.js';
import { groupBy } from './opened.js';

/** Files of a repository that are opened together. */
export interface Choice {
  /** Their common name: of shards, `model-*-of-00004.safetensors`. */
  readonly name: string;
  readonly files: readonly FolderFile[];
  readonly lengthBytes: number;
}

/** A repository's weights, in all forms that it has, and the one that is the model. */
export interface Repository {
  readonly model: HubModel;
  readonly choices: readonly Choice[];
  readonly first: Choice | undefined;
  readonly files: readonly FolderFile[];
}

const WEIGHTS = /\.(wpk|safetensors|gguf|onnx|bin|pt|pth|ckpt)$/;
const NO_WEIGHTS = /(^|\/)(training_args|optimizer|scheduler|rng_state)[^/]*$/;
const SHARD = /-\d{5}-of-(\d{5})(?=\.)/;

/** Lists a repository. @throws {InputError} when there is none, or it has no weights that can be read. */
export async function openRepository(model: HubModel, signal: AbortSignal): Promise<Repository> {
  const files = await listHubFiles(model, signal);
  const weights = files.filter(({ name }) => WEIGHTS.test(name) && !NO_WEIGHTS.test(name));
  if (!weights.length)
    throw new InputError('no safetensors, GGUF, PyTorch, ONNX or .wpk file in the repository', {
      file: model.repository,
    });
  const groups = groupBy(weights, ({ name }) =>
    name.endsWith('.gguf') ? name : name.replace(SHARD, '-*-of-$1'),
  );
  const choices = [...groups].map(([name, own]) => ({
    name,
    files: own,
    lengthBytes: own.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
  }));
  const found = findWeights(files);
  const isFound = ({ files: [file] }: Choice) =>
    found?.names.length
      ? found.names.includes(file!.name)
      : file!.name.replace(SHARD, '') === found?.index?.replace('.index.json', '');
  const first = choices.find(isFound) ?? (choices.length === 1 ? choices[0] : undefined);
  return { model, choices, first, files };
}

const MAX_TEXT_BYTES = 2 ** 20;

/** Reads the small texts of a repository that describe its model. */
export async function readTexts({ model, files }: Repository, signal: AbortSignal) {
  const texts = new Map<string, string>();
  let config: Config | undefined;
  for (const file of files) {
    if (!/^(config|generation_config)\.json$/.test(file.name) || file.lengthBytes > MAX_TEXT_BYTES) continue;
    try {
      const content = await hubFile(model, file).read(0, file.lengthBytes, signal);
      texts.set(file.name, new TextDecoder().decode(content));
      if (file.name === 'config.json') config = parsePythonJson(content, file.name);
    } catch (error) {
      if (!isInputError(error)) throw error; // the weights can be shown without it
    }
  }
  return { texts, config };
}
