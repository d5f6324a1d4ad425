import { isWpk } from './container/frames.js';
import { WpkModel } from './container/model.js';
import { openTorchFile } from './formats/directory.js';
import { isGguf } from './formats/gguf/header.js';
import { openGgufFile } from './formats/gguf/model.js';
import { openModel, registerOpener } from './formats/open.js';
import { isCheckpoint } from './formats/pytorch/checkpoint.js';
import { openFile } from './io/file.js';

registerOpener({
  accepts: 'a .wpk file',
  matches: (prefix, path) => isWpk(prefix) || path.endsWith('.wpk'),
  open: async (path) => WpkModel.open(await openFile(path)),
});

registerOpener({
  accepts: 'a PyTorch checkpoint',
  matches: (prefix) => isCheckpoint(prefix),
  open: openTorchFile,
});

registerOpener({ accepts: 'a GGUF file', matches: (prefix) => isGguf(prefix), open: openGgufFile });

export { openModel };
