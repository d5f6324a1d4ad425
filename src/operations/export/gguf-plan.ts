import { basename } from 'node:path';
import { textConfigOf } from '../../architectures/config-reader.js';
import type { ForwardPlan } from '../../architectures/forward.js';
import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import type { Model } from '../../core/model.js';
import { openProgram } from '../../inference/program.js';
import { checkFixed, writeConfig } from '../../models/gguf/config.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';
import { licenseEntries } from '../../models/gguf/license.js';
import { GGUF_FAMILIES } from '../../models/gguf/names.js';
import { factorTensors } from '../../models/gguf/rope.js';
import { tokenizerEntries } from '../../models/gguf/tokenizer-entries.js';
import { chatTemplateOf } from '../../tokenizer/chat-template.js';
import { readTokenizerFiles, type TokenizerFiles } from '../../tokenizer/files.js';
import { statedLicense } from '../stated-license.js';
import { openEncoder } from './gguf-encoder.js';
import { checkSettings, writable } from './gguf-settings.js';
import { type GgufView, type PlannedTensor, planFactors, planTensor, viewsOf } from './gguf-tensors.js';
import { ENCODINGS, type GgufWriteType } from './gguf-types.js';

/** A GGUF file without the bytes of its tensors. */
export interface GgufPlan {
  readonly entries: readonly GgufEntry[];
  readonly tensors: readonly PlannedTensor[];
}

/** What a GGUF file of a model says, whatever the types of its tensors. */
export interface GgufDescription {
  readonly gguf: GgufFamily;
  /** The model's own settings. */
  readonly plan: ForwardPlan;
  /** The metadata, but for `general.file_type`. */
  readonly entries: readonly GgufEntry[];
  /** Tensors that are not the model's: divisors of rotary frequencies. */
  readonly added: readonly PlannedTensor[];
  readonly views: readonly GgufView[];
}

/** `general.quantization_version`, the current one. */
const QUANTIZATION_VERSION = 2;

/**
 * Converts a model's headers and side files to the plan of a GGUF file.
 * @throws {InputError} for a model that llama.cpp or this writer does not support.
 */
export async function planGguf(model: Model, type: GgufWriteType): Promise<GgufPlan> {
  const { entries, added, views } = await describeGguf(model);
  return {
    entries: withFileType(entries, ENCODINGS[type].fileType),
    tensors: [...added, ...views.map((view) => planTensor(model, view, type))],
  };
}

/** Returns the metadata with the file's type, a number of llama_ftype. */
export function withFileType(entries: readonly GgufEntry[], value: number): GgufEntry[] {
  const place = entries.findIndex(({ key }) => key === 'general.quantization_version');
  return entries.toSpliced(place, 0, { key: 'general.file_type', type: 'uint32', value });
}

/**
 * Converts a model's headers and side files to what a GGUF file says, and its tensors to views.
 * @throws {InputError} for a model that llama.cpp or this writer does not support.
 */
export async function describeGguf(model: Model): Promise<GgufDescription> {
  const { id: file } = model;
  const config = requireConfig(model);
  const gguf = GGUF_FAMILIES.find(({ modelTypes }) => modelTypes.includes(config.model_type as string));
  if (!gguf)
    throw new InputError(
      `config.json: unsupported model_type ${String(config.model_type)} for GGUF, expected one of ${GGUF_FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ')}`,
      { file },
      { code: 'no-gguf-family' },
    );
  checkFixed(gguf, textConfigOf(config), file);
  // llama.cpp uses every tensor in the file: an unused tensor would change the results
  const { plan: own, pooling } = gguf.isHeadless
    ? await openEncoder(model, gguf)
    : { ...(await openProgram(model)), pooling: [] };
  const plan = writable(gguf, own);
  const metadata = writeConfig(gguf, plan, file);
  const factors = factorTensors(gguf, plan);
  const views = viewsOf(model, gguf, own);
  checkSettings(gguf, plan, { entries: metadata, tensors: views, factors: new Map(factors), file });
  const { vocabulary } = plan;
  return {
    gguf,
    plan: own,
    entries: [
      ...(await generalEntries(model, gguf.architecture)),
      ...metadata,
      ...pooling,
      { key: `${gguf.architecture}.vocab_size`, type: 'uint32', value: vocabulary },
      ...tokenizerEntries(await withChatTemplate(model), config, vocabulary, file),
    ],
    added: factors.map(planFactors),
    views,
  };
}

/** Returns a model's config. @throws {InputError} when it has none that can be read. */
export function requireConfig({ config, configError, id: file }: Model): Config {
  if (configError) throw configError;
  if (!config) throw new InputError('has no config.json, which writing GGUF needs', { file });
  return config;
}

/** Returns a model's tokenizer with the chat template that may be in a file of its own. */
async function withChatTemplate(model: Model): Promise<TokenizerFiles | undefined> {
  const files = await readTokenizerFiles(model);
  const chat_template = files && (await chatTemplateOf(model, files.config));
  return files && { ...files, config: { ...files.config, chat_template } };
}

/** Returns the entries that every file has, but for its type. */
export async function generalEntries(model: Model, architecture: string): Promise<GgufEntry[]> {
  const license = await statedLicense(model.sideFiles);
  return [
    { key: 'general.architecture', type: 'string', value: architecture },
    { key: 'general.type', type: 'string', value: 'model' },
    { key: 'general.name', type: 'string', value: basename(model.id) },
    { key: 'general.quantization_version', type: 'uint32', value: QUANTIZATION_VERSION },
    ...licenseEntries(license, license.fields),
  ];
}
