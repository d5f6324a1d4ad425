import type { Dtype } from './dtype.js';
import type { InputError } from './errors.js';
import type { Folder, LeftOut } from './folder.js';

/** A tensor as a file declares it. Elements are little-endian, row-major. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly lengthBytes: number;
  /** SHA-256 of its elements in hexadecimal, if its file states it. */
  readonly sha256?: string;
  /** Bytes that it takes in its file, if different: quantized tensors of GGUF. */
  readonly storedBytes?: number;
  /** If its elements are bytes of another encoding: the tensor that they encode, and the encoding's name. */
  readonly holds?: TensorInfo & { readonly encoding: string };
}

/** A file stored along with the weights: config, tokenizer, model card, license. */
export interface SideFile {
  /** Relative to the model's folder, its parts separated by `/`. */
  readonly name: string;
  readonly lengthBytes: number;
  /** Bytes that it takes in addition to the weights: 0 for one that is derived from the weight files. */
  readonly storedBytes?: number;
  read(): Promise<Uint8Array>;
}

/** A file of weights as stored on disk. */
export interface WeightFile {
  readonly name: string;
  readonly lengthBytes: number;
}

/** Returns the bytes of all of a model's files, the original size in compression ratios. */
export function originalBytes({ weightFiles, sideFiles }: Model): number {
  const weights = weightFiles.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  return sideFiles.reduce((sum, { lengthBytes, storedBytes = lengthBytes }) => sum + storedBytes, weights);
}

/** Options for opening a model. */
export interface OpenOptions {
  /** For a checkpoint with several states: the one to use, as its keys joined by dots; `.` for everything. */
  readonly state?: string | undefined;
  /** Patterns of files to leave out. */
  readonly exclude?: readonly string[] | undefined;
}

/**
 * A model whose tensors can be read by ranges, in any file format.
 * Opening reads only headers; weights are read on demand.
 */
export interface Model {
  /** The path or id the user gave. */
  readonly id: string;
  /** A folder, a repository on the Hub, a .wpk file, or a single file of another format. */
  readonly kind: 'directory' | 'hub' | 'safetensors' | 'pytorch' | 'gguf' | 'wpk';
  /** Parsed config.json; undefined if it is missing or unreadable. */
  readonly config: Readonly<Record<string, unknown>> | undefined;
  /** Why an existing config.json cannot be read. */
  readonly configError?: InputError | undefined;
  /** For a checkpoint: the state that holds the tensors, as its keys joined by dots; undefined at the top level. */
  readonly state?: string | undefined;
  /** All tensors in file order. Names are unique. */
  readonly tensors: readonly TensorInfo[];
  readonly sideFiles: readonly SideFile[];
  readonly weightFiles: readonly WeightFile[];
  /**
   * Returns bytes `start` to `end` (exclusive; default: all) of a tensor's decoded little-endian elements.
   * @throws {InputError} for an unknown tensor or bytes that do not decode.
   */
  readTensor(name: string, start?: number, end?: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** All files of the folder that it was opened from, including those that are not part of the model. */
  readonly files?: Folder | undefined;
  /** Files that a lossy .wpk of the model does not contain, and why. */
  readonly leftOut?: readonly LeftOut[] | undefined;
  /** Checks, after reading, that its files are still those that were opened. @throws {InputError} naming one that changed. */
  readonly verify?: (() => Promise<void>) | undefined;
  close(): Promise<void>;
}
