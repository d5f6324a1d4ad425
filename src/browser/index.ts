// weightpress/browser: what reads a .wpk in a web page. docs/browser.md.
export { type InputError, type IntegrityError, isInputError } from '../errors.js';
export type { Dtype } from '../formats/dtype.js';
export type { SideFile, TensorInfo } from '../formats/model.js';
export { type CachedFile, DownloadCache, type EvictOptions } from './cache.js';
export { type BrowserModel, type OpenOptions, open } from './open.js';
export type { DecodedTensor } from './tensors.js';
