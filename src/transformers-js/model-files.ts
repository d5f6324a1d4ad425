import { type Config, parseJsonObject } from '../core/json.js';
import type { Model } from '../core/model.js';
import { readSideFile } from '../core/side-file.js';
import { INDEX_NAME, TORCH_INDEX_NAME } from '../models/folder/shard-index.js';
import { unpacked } from '../models/packed/view.js';
import { readTokenizerFiles } from '../tokenizer/files.js';
import { type OnnxDtype, SUFFIXES } from './encoding.js';
import { type GraphFiles, type MadeFile, makeOnnxFiles, type OnnxFileOptions } from './onnx-files.js';

/** A model as transformers.js loads it. */
export interface TransformersFiles {
  readonly files: readonly MadeFile[];
  /** By dtype. */
  readonly onnx: ReadonlyMap<OnnxDtype, GraphFiles>;
}

/**
 * Makes all files that transformers.js loads of a model: ONNX files of each dtype, config.json with `transformers.js_config`,
 * tokenizer.json, which is made of other tokenizer files where there is none, and the rest as it is, but for what is of other weight files:
 * indexes of shards, descriptions of packed weights, and ONNX files of other programs.
 * @throws {InputError} as {@link makeOnnxFiles}, and for malformed files of a tokenizer.
 */
export async function transformersFiles(
  given: Model,
  dtypes: readonly OnnxDtype[],
  options: Omit<OnnxFileOptions, 'dtype'> = {},
): Promise<TransformersFiles> {
  const model = await unpacked(given, options.signal);
  const onnx = new Map<OnnxDtype, GraphFiles>();
  for (const dtype of dtypes) onnx.set(dtype, await makeOnnxFiles(model, { ...options, dtype }));
  const tokenizer = await readTokenizerFiles(model);
  const made = new Map<string, MadeFile>();
  for (const file of model.sideFiles.filter(({ name }) => !isOfOtherWeights(name)))
    made.set(file.name, {
      name: file.name,
      lengthBytes: file.lengthBytes,
      async *chunks() {
        yield await file.read();
      },
    });
  const add = (name: string, content: Config) => made.set(name, jsonFile(name, content));
  if (tokenizer && !made.has('tokenizer.json')) {
    add('tokenizer.json', tokenizer.definition);
    add('tokenizer_config.json', tokenizer.config);
  } else if (tokenizer && !made.has('tokenizer_config.json')) add('tokenizer_config.json', tokenizer.config);
  add('config.json', await configOf(model, onnx));
  if (!made.has(GENERATION_CONFIG)) add(GENERATION_CONFIG, generationConfigOf(model.config!));
  return { files: [...made.values(), ...[...onnx.values()].flatMap(({ files }) => files)], onnx };
}

/** Returns whether a side file is of weights in other files than those that are made. */
const isOfOtherWeights = (name: string) =>
  name === INDEX_NAME || name === TORCH_INDEX_NAME || name.startsWith('onnx/');

const GENERATION_CONFIG = 'generation_config.json';

/** Returns what transformers takes from config.json where there is no generation config. */
function generationConfigOf(config: Config): Config {
  const ids = ['bos_token_id', 'eos_token_id', 'pad_token_id'].filter((name) => config[name] != null);
  return Object.fromEntries([['_from_model_config', true], ...ids.map((name) => [name, config[name]])]);
}

/** Returns config.json that says which ONNX files have external data, in how many files. */
async function configOf(model: Model, onnx: ReadonlyMap<OnnxDtype, GraphFiles>): Promise<Config> {
  const bytes = await readSideFile(model, 'config.json');
  const config = bytes ? parseJsonObject(bytes, `${model.id}, config.json`).value : model.config!;
  const parts = [...onnx].map(
    ([dtype, { files }]) => [`model${SUFFIXES[dtype]}.onnx`, files.length - 1] as const,
  );
  const own = config['transformers.js_config'];
  const settings = typeof own === 'object' && own !== null ? own : {};
  return {
    ...config,
    'transformers.js_config': { ...settings, use_external_data_format: Object.fromEntries(parts) },
  };
}

function jsonFile(name: string, content: Config): MadeFile {
  const bytes = new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`);
  return {
    name,
    lengthBytes: bytes.length,
    async *chunks() {
      yield bytes;
    },
  };
}
