// Kinds of files that can be opened as a model, beside safetensors.
import { WpkFolder } from './container/folder.js';
import { isWpk } from './container/frames.js';
import { WpkModel } from './container/model.js';
import { openWpk, withContainer } from './container/original.js';
import { openFolder, openTorchFile } from './formats/directory.js';
import { isGguf } from './formats/gguf/header.js';
import { openGguf } from './formats/gguf/model.js';
import type { Model, OpenOptions } from './formats/model.js';
import { registerOpener } from './formats/open.js';
import { isCheckpoint } from './formats/pytorch/checkpoint.js';
import type { ByteSource } from './io/source.js';

registerOpener({
  accepts: 'a .wpk file',
  matches: (prefix, id) => isWpk(prefix) || id.endsWith('.wpk'),
  open: (_, source, options) => openStoredModel(source, options),
});

registerOpener({
  accepts: 'a PyTorch checkpoint',
  matches: (prefix) => isCheckpoint(prefix),
  open: openTorchFile,
});

registerOpener({ accepts: 'a GGUF file', matches: (prefix) => isGguf(prefix), open: openGguf });

/** A .wpk as what its files are opened as: of a PyTorch checkpoint the tensors of its state, not its storages. */
async function openStoredModel(source: ByteSource, options: OpenOptions): Promise<Model> {
  const opened = await openWpk(source);
  const model = opened.container.directory.weightFiles.filter(({ isModel }) => isModel);
  if (!(opened instanceof WpkModel) || !model.some(({ format }) => format === 'pytorch')) return opened;
  try {
    return withContainer(opened, await openFolder(new WpkFolder(opened.container), options));
  } catch (error) {
    await opened.close();
    throw error;
  }
}
