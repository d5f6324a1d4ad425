import type { Model, OpenOptions } from '../core/model.js';
import { NOTICES } from '../core/notices.js';
import { type OpenModelOptions, openModel } from '../open/open.js';
import { isLossless } from '../wpk/summary.js';
import { withBars } from './progress-line.js';

/**
 * Opens a model whose weights are read more than once. One on the Hub is first downloaded into the Hugging Face cache, with a progress
 * bar per file. @throws {InputError}
 */
export async function openWhole(
  name: string,
  options: OpenOptions & Pick<OpenModelOptions, 'onFolder' | 'base'> = {},
): Promise<Model> {
  const model = await withBars((onProgress) =>
    openModel(name, { ...options, reading: 'download', onProgress }),
  );
  if (model.state !== undefined)
    NOTICES.show(`${name}: the model is the state ${model.state} of the checkpoint`);
  return model;
}

/** Says that a file was made of a lossy .wpk, whose loss its own does not count; undefined for other models. */
export async function lossyOriginal({ kind }: Model, path: string): Promise<string | undefined> {
  if (kind !== 'wpk') return undefined;
  const { inspect } = await import('../operations/inspect.js');
  if (isLossless((await inspect(path)).tensors)) return undefined;
  return 'made of a lossy file: its own loss is not counted here; weightpress inspect shows it';
}
