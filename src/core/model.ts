import type { Dtype } from './dtype.js';
import type { InputError } from './errors.js';
import type { Folder, LeftOut } from './folder.js';

/** A tensor as a file declares it. Elements are little-endian, row-major. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly lengthBytes: number;
  /** Of its elements, hexadecimal, where its file says. */
  readonly sha256?: string;
  /** What it takes in the file that it is read from, where that is another number: quantized tensors of GGUF. */
  readonly storedBytes?: number;
  /** Where elements are bytes of another encoding: the tensor that these bytes are, and the encoding's name. */
  readonly holds?: TensorInfo & { readonly encoding: string };
}

/** A file that travels with the weights: config, tokenizer, model card, license. */
export interface SideFile {
  /** Relative to the model's folder, its parts separated by `/`. */
  readonly name: string;
  readonly lengthBytes: number;
  /** What it takes beside the weights: 0 for one that was made of what stands in theirs. */
  readonly storedBytes?: number;
  read(): Promise<Uint8Array>;
}

/** A file that holds weights, as it lies on disk. */
export interface WeightFile {
  readonly name: string;
  readonly lengthBytes: number;
}

/** Bytes of all of a model's files as they lie on disk: what ratios are of. */
export function originalBytes({ weightFiles, sideFiles }: Model): number {
  const weights = weightFiles.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  return sideFiles.reduce((sum, { lengthBytes, storedBytes = lengthBytes }) => sum + storedBytes, weights);
}

/** How a model is opened. */
export interface OpenOptions {
  /** Of a checkpoint that holds several states: the one that is the model, by its keys joined by dots; `.` for everything. */
  readonly state?: string | undefined;
  /** Patterns of files that are not taken along. */
  readonly exclude?: readonly string[] | undefined;
}

/**
 * A model that can be read by ranges, whatever it is stored in.
 * Opening reads headers only; weights are read when asked for.
 */
export interface Model {
  /** The path or id the user gave. */
  readonly id: string;
  /** A folder, a repository on the Hub, `wpk`, or one file alone of another kind. */
  readonly kind: 'directory' | 'hub' | 'safetensors' | 'pytorch' | 'gguf' | 'wpk';
  /** Parsed config.json, if there is one that can be read. */
  readonly config: Readonly<Record<string, unknown>> | undefined;
  /** Why a config.json that is there cannot be read. */
  readonly configError?: InputError | undefined;
  /** Of a checkpoint: where in it the tensors were found, its keys joined by dots; undefined at the outermost level. */
  readonly state?: string | undefined;
  /** In the order of their bytes, file by file. Names are unique. */
  readonly tensors: readonly TensorInfo[];
  readonly sideFiles: readonly SideFile[];
  readonly weightFiles: readonly WeightFile[];
  /**
   * Bytes `start` to `end` (exclusive; default: all) of a tensor's decoded little-endian elements.
   * @throws {InputError} on an unknown tensor or bytes that do not decode.
   */
  readTensor(name: string, start?: number, end?: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** The files that it was opened from, all of them, also those that are no part of the model. */
  readonly files?: Folder | undefined;
  /** Files that a lossy file made of it does not hold, and why. */
  readonly leftOut?: readonly LeftOut[] | undefined;
  /** Checks that its files are still those that were opened, for who has read all of them. @throws {InputError} naming one that is not. */
  readonly verify?: (() => Promise<void>) | undefined;
  close(): Promise<void>;
}
