import type { Quantization } from '../../architectures/quantization-config.js';
import type { Config } from '../../core/json.js';
import type { TensorInfo } from '../../core/model.js';
import type { Parts } from './parts.js';

/** Packed weights as one matrix of floats, or several of one size. */
export interface Unpacked {
  /** The name that the weights have where they are not packed. */
  readonly name: string;
  /** [..., rows, columns]. */
  readonly shape: readonly number[];
  /** The tensors that it stands for; it takes the place of the first. */
  readonly parts: readonly TensorInfo[];
  /** Decodes rows `first` to `last` (exclusive) to [last - first, columns]; rows are counted over all matrices. */
  rows(first: number, last: number, signal?: AbortSignal): Promise<Float32Array>;
}

/** What config.json says about the packing. */
export interface Settings extends Quantization {
  /** `quantization_config`. */
  readonly given: Config;
}

/** A format of packed weights. */
export interface PackedFormat {
  /** `quant_method` of checkpoints that have it. */
  readonly methods: readonly string[];
  /** Returns whether a tensor holds the codes of weights in this format. */
  matches(tensor: TensorInfo, parts: Parts): boolean;
  /**
   * Finds the other parts of the weights and checks all shapes; reads no weights.
   * @throws {InputError} naming a tensor that is missing or does not fit.
   */
  open(tensor: TensorInfo, parts: Parts, settings: Settings): Unpacked | Promise<Unpacked>;
}

/** Returns a name with another ending. */
export function renamed({ name }: TensorInfo, ending: string, replacement: string): string {
  return name.slice(0, -ending.length) + replacement;
}

/** Returns those tensors that exist. */
export function present(...tensors: readonly (TensorInfo | undefined)[]): TensorInfo[] {
  return tensors.filter((tensor) => tensor !== undefined);
}
