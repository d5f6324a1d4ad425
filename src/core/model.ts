// Users of the type declarations need not have this library in their own settings.
/// <reference lib="esnext.disposable" preserve="true" />
import type { Dtype } from './dtype.js';
import type { InputError } from './errors.js';
import type { Folder, LeftOut } from './folder.js';
import { sumOf } from './sum.js';

/** A tensor as a file declares it. Elements are little-endian, row-major. */
export interface TensorInfo {
  /** Unique in its model. */
  readonly name: string;
  /** The type of its elements. */
  readonly dtype: Dtype;
  /** Elements along each axis; empty for a scalar. */
  readonly shape: readonly number[];
  /** Bytes of all elements, decoded. */
  readonly lengthBytes: number;
  /** SHA-256 of its elements, hexadecimal; undefined where its file does not say. */
  readonly sha256?: string;
  /** Bytes in the file that it is read from; undefined where they are as many as `lengthBytes`. Quantized tensors of GGUF take fewer. */
  readonly storedBytes?: number;
  /** The tensor that these elements are the bytes of; undefined for elements that are themselves. */
  readonly holds?: EncodedTensor;
}

/** A tensor whose bytes are the elements of another. */
export interface EncodedTensor extends TensorInfo {
  /** The encoding's name. */
  readonly encoding: string;
}

/** A part of a tensor. */
export interface TensorRange {
  /** The first one that is read; by default 0. */
  readonly start?: number | undefined;
  /** The one behind the last that is read; by default the end. */
  readonly end?: number | undefined;
  /** Ends the reading. */
  readonly signal?: AbortSignal | undefined;
}

/** A tensor of an opened model. */
export interface Tensor extends TensorInfo {
  /**
   * Reads elements as they are: little-endian, row-major.
   * @param range in bytes.
   * @throws {InputError} when the range lies outside, or the bytes do not decode.
   */
  bytes(range?: TensorRange): Promise<Uint8Array>;
  /**
   * Reads elements as float32: of F32, F16 and BF16 exactly, of F64 rounded. NaN and infinity are returned as they are.
   * @param range in elements.
   * @throws {InputError} as `bytes`, and for elements that are no floats.
   */
  floats(range?: TensorRange): Promise<Float32Array>;
}

/** A file stored along with the weights: config, tokenizer, model card, license. */
export interface SideFile {
  /** Relative to the model's folder, its parts separated by `/`. */
  readonly name: string;
  /** Bytes in it. */
  readonly lengthBytes: number;
  /** Bytes that it takes beside the weights: 0 for one that was made of the weight file's header. */
  readonly storedBytes?: number;
  /** Reads all of it. @throws {InputError} */
  read(): Promise<Uint8Array>;
}

/** A file of weights as stored on disk. */
export interface WeightFile {
  /** Relative to the model's folder, its parts separated by `/`. */
  readonly name: string;
  /** Bytes in it. */
  readonly lengthBytes: number;
}

/** Returns the bytes of all of a model's files as they lie on disk: what ratios are of. */
export function originalBytes({ weightFiles, sideFiles }: Model): number {
  const weights = sumOf(weightFiles, ({ lengthBytes }) => lengthBytes);
  return sideFiles.reduce((sum, file) => sum + (file.storedBytes ?? file.lengthBytes), weights);
}

/** Options for opening a model. */
export interface OpenOptions {
  /** The state of a checkpoint that is the model, by its keys joined by dots; `.` for all tensors in it. By default the only one. */
  readonly state?: string | undefined;
  /** Patterns of files that are left out, such as `*.onnx` or `onnx/**`. */
  readonly exclude?: readonly string[] | undefined;
}

/** What is opened, and closed by `close` or at the end of `await using`. */
export interface Closable {
  /** Frees files, memory and threads. Calling it again does nothing. */
  close(): Promise<void>;
  /** Closes it: what `await using` calls. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A model whose tensors can be read by ranges, in any file format.
 * Opening reads only headers; weights are read on demand.
 */
export interface Model extends Closable {
  /** The path, address or name that it was opened by. */
  readonly id: string;
  /** A folder, a repository on the Hub, a .wpk file, or a single file of another format; GGUF and ONNX also where they are in a folder. */
  readonly kind: 'directory' | 'hub' | 'safetensors' | 'pytorch' | 'gguf' | 'onnx' | 'wpk';
  /** Parsed config.json; undefined if it is missing or unreadable. */
  readonly config: Readonly<Record<string, unknown>> | undefined;
  /** Why an existing config.json cannot be read. */
  readonly configError?: InputError | undefined;
  /** For a checkpoint: the state that holds the tensors, as its keys joined by dots; undefined at the top level. */
  readonly state?: string | undefined;
  /** Why it cannot be run, only read; undefined for a model that may be. */
  readonly notRun?: string | undefined;
  /** How its weights are packed in its files, where they are read as floats, for people: `gptq, 4 bits, groups of 128`. */
  readonly packed?: string | undefined;
  /** In the order of their bytes, file by file. Names are unique. */
  readonly tensors: readonly Tensor[];
  /** Config, tokenizer, model card, license. */
  readonly sideFiles: readonly SideFile[];
  /** The files that hold the tensors. */
  readonly weightFiles: readonly WeightFile[];
  /**
   * Reads bytes `start` to `end` (exclusive; default: all) of a tensor's decoded little-endian elements.
   * @throws {InputError} on an unknown tensor or bytes that do not decode.
   */
  readTensor(name: string, start?: number, end?: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** All files of the folder that it was opened from, including those that are not part of the model. */
  readonly files?: Folder | undefined;
  /** Files that a lossy .wpk of the model does not contain, and why. */
  readonly leftOut?: readonly LeftOut[] | undefined;
  /** Checks, after reading, that its files are still those that were opened. @throws {InputError} naming one that changed. */
  readonly verify?: (() => Promise<void>) | undefined;
}
