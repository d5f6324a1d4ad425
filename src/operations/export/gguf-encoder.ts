import { type ForwardPlan, planForward } from '../../architectures/forward.js';
import { findFamily } from '../../architectures/registry.js';
import { HEAD_SLOTS } from '../../architectures/slots.js';
import { placeOf, withoutPrefix } from '../../architectures/tensor-roles.js';
import { InputError } from '../../core/errors.js';
import { isPlainObject, quote } from '../../core/json.js';
import type { Model } from '../../core/model.js';
import type { GgufFamily } from '../../models/gguf/family.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';
import { POOLING_TYPES } from '../../models/gguf/pooling.js';
import { bundlesOf } from '../../models/gguf/tensor-map.js';

/**
 * Reads the settings of an encoder, whose head is left out, as llama.cpp has none.
 * @throws {InputError} for missing tensors, and for those that are neither used, nor known to be unneeded, nor of a head.
 */
export function encoderPlan(model: Model, gguf: GgufFamily): ForwardPlan {
  const { id: file, tensors } = model;
  const family = findFamily(model.config)!;
  const plan = planForward(family, model.config!);
  const plain = new Set(tensors.map(({ name }) => withoutPrefix(name, family)));
  const used = new Set(bundlesOf(gguf, plan).flatMap(({ hub }) => hub.map(({ name }) => name)));
  for (const name of used) if (!plain.has(name)) throw new InputError('missing', { file, tensor: name });
  const isNeeded = (name: string) =>
    ![family.buffers, family.unneeded].some((pattern) => pattern?.test(name)) &&
    !HEAD_SLOTS.has(placeOf(name, family)?.slot as never);
  for (const name of plain)
    if (!used.has(name) && isNeeded(name))
      throw new InputError('is not used by the architecture in config.json, so results would be wrong', {
        file,
        tensor: name,
      });
  return plan;
}

/**
 * Returns how an embedding model's hidden states become one vector, by sentence-transformers' files.
 * @throws {InputError} for modules that llama.cpp does not have.
 */
export async function poolingEntries(
  model: Model,
  { architecture, isHeadless }: GgufFamily,
): Promise<GgufEntry[]> {
  const modules = isHeadless ? await readJson(model, 'modules.json') : undefined;
  if (!Array.isArray(modules)) return [];
  const kinds = modules.map(
    (one) =>
      String(isPlainObject(one) ? one.type : one)
        .split('.')
        .at(-1)!,
  );
  const unknown = kinds.find((kind) => !['Transformer', 'Pooling', 'Normalize'].includes(kind));
  if (unknown)
    throw new InputError(`modules.json: llama.cpp does not support ${quote(unknown)}`, { file: model.id });
  const pooling = modules[kinds.indexOf('Pooling')];
  const settings = isPlainObject(pooling) && (await readJson(model, `${pooling.path}/config.json`));
  if (!isPlainObject(settings)) return [];
  const modes = Object.entries(settings).filter(
    ([key, value]) => /^pooling_mode_/.test(key) && value === true,
  );
  const [mode] = modes.map(([key]) => POOLING_TYPES.findIndex((type) => key === `pooling_mode_${type}`));
  if (modes.length !== 1 || mode === undefined || mode < 0)
    throw new InputError(
      `${pooling.path}/config.json: llama.cpp supports one of ${POOLING_TYPES.filter(Boolean).join(', ')}, found ${quote(modes.map(([key]) => key))}`,
      { file: model.id },
    );
  return [{ key: `${architecture}.pooling_type`, type: 'uint32', value: mode }];
}

async function readJson(model: Model, name: string): Promise<unknown> {
  const bytes = await model.sideFiles.find((file) => file.name === name)?.read();
  if (!bytes) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new InputError('malformed JSON', { file: `${model.id}, ${name}` }, { cause: error });
  }
}
