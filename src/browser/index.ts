// weightpress/browser: reads .wpk files in a web page. docs/browser.md.

export type { Dtype } from '../core/dtype.js';
export { type InputError, type IntegrityError, isInputError } from '../core/errors.js';
export type { SideFile, TensorInfo } from '../core/model.js';
export { type CachedFile, DownloadCache, type EvictOptions } from './cache.js';
export { type BrowserModel, type OpenOptions, open } from './open.js';
export type { DecodedTensor } from './tensors.js';
