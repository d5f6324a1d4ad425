import type { Model, OpenOptions } from '../core/model.js';
import { NOTICES } from '../core/notices.js';
import type { HubOptions } from '../hub/folder.js';
import { openModel } from '../open/open.js';
import { type Progress, progress } from './terminal.js';

/**
 * Opens a model whose weights are read more than once. One on the Hub is first downloaded into the Hugging Face cache, with a progress
 * bar per file. @throws {InputError}
 */
export async function openWhole(
  name: string,
  options: OpenOptions & Pick<HubOptions, 'onFolder'> = {},
): Promise<Model> {
  const bars = new Map<string, Progress>();
  try {
    const model = await openModel(name, {
      ...options,
      reading: 'download',
      onDownload: (file, done, total) => {
        const bar = bars.get(file) ?? progress(`downloading ${file}`, total);
        bars.set(file, bar);
        bar.update(done);
        if (done === total) bar.stop();
      },
    });
    if (model.state !== undefined) NOTICES.show(`${name}: using the state ${model.state} of the checkpoint`);
    return model;
  } finally {
    for (const bar of bars.values()) bar.stop();
  }
}
