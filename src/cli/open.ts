import type { Model, OpenOptions } from '../core/model.js';
import { NOTICES } from '../core/notices.js';
import type { HubOptions } from '../hub/folder.js';
import { openModel } from '../open/open.js';
import { withBars } from './progress-line.js';

/**
 * Opens a model whose weights are read more than once. One on the Hub is first downloaded into the Hugging Face cache, with a progress
 * bar per file. @throws {InputError}
 */
export async function openWhole(
  name: string,
  options: OpenOptions & Pick<HubOptions, 'onFolder'> = {},
): Promise<Model> {
  const model = await withBars((onProgress) =>
    openModel(name, { ...options, reading: 'download', onProgress }),
  );
  if (model.state !== undefined)
    NOTICES.show(`${name}: the model is the state ${model.state} of the checkpoint`);
  return model;
}
