// Kinds of files that can be opened as a model, beside safetensors.
import { isWpk } from './container/frames.js';
import { openWpk } from './container/original.js';
import { openTorchFile } from './formats/directory.js';
import { isGguf } from './formats/gguf/header.js';
import { openGguf } from './formats/gguf/model.js';
import { registerOpener } from './formats/open.js';
import { isCheckpoint } from './formats/pytorch/checkpoint.js';

registerOpener({
  accepts: 'a .wpk file',
  matches: (prefix, id) => isWpk(prefix) || id.endsWith('.wpk'),
  open: (_, source) => openWpk(source),
});

registerOpener({
  accepts: 'a PyTorch checkpoint',
  matches: (prefix) => isCheckpoint(prefix),
  open: openTorchFile,
});

registerOpener({ accepts: 'a GGUF file', matches: (prefix) => isGguf(prefix), open: openGguf });
