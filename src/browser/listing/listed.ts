import type { VirtualTensor } from '../../models/virtual.js';

/** A tensor of a weight file, as the file names and types it. */
export interface ListedTensor {
  readonly name: string;
  /** Name of its element type or encoding: `BF16`, `Q4_K`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Its role in a model. */
  readonly role: string;
  /** Bytes that it takes in its file. */
  readonly bytes: number;
  /** The file that it is in. */
  readonly file: string;
  /** What else is to be said of it, such as that it is in another file; undefined for nothing. */
  readonly note?: string | undefined;
  /** Opens its elements to be read by ranges. @throws {InputError} for a type whose elements are not read. */
  open(): VirtualTensor;
}

/** What is in a weight file, read from its header. */
export interface Listing {
  /** `safetensors`, `GGUF`, `PyTorch` or `ONNX`. */
  readonly format: string;
  readonly tensors: readonly ListedTensor[];
  /** Texts that describe the model, by name. */
  readonly metadata: ReadonlyMap<string, string>;
  /** What a reader should be warned of; undefined for nothing. */
  readonly warning?: string | undefined;
}
