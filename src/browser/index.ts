/**
 * Reads .wpk files in a web page: docs/browser.md.
 * @module
 */

export type { ByteSource } from '../core/byte-source.js';
export type { Dtype } from '../core/dtype.js';
export {
  type ByteRange,
  ConnectionError,
  type ErrorCode,
  InputError,
  type InputErrorOptions,
  IntegrityError,
  isInputError,
  type Place,
} from '../core/errors.js';
export type { Folder, FolderFile, LeftOut, Listing } from '../core/folder.js';
export type {
  Closable,
  EncodedTensor,
  Model,
  SideFile,
  Tensor,
  TensorInfo,
  TensorRange,
  WeightFile,
} from '../core/model.js';
export type { Progress, RunOptions } from '../core/progress.js';
export type { OpenedWpk } from '../wpk/original.js';
export { type CachedFile, DownloadCache, type EvictOptions } from './cache.js';
export { type BrowserModel, type OpenOptions, open } from './open.js';
export type { DecodedTensor } from './tensors.js';
