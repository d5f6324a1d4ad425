import { InputError } from '../../core/errors.js';
import type { Swap } from './axes.js';

export type Config = Readonly<Record<string, unknown>>;

/** How a tensor's elements lie on the Hub against how they lie in GGUF. */
export interface Layout {
  /** Whether the dimensions are reversed too. */
  readonly transposes: boolean;
  /** The axes of the Hub's tensor that GGUF has swapped; undefined when both have the same order. */
  swap(hubShape: readonly number[], config: Config): Swap | undefined;
}

/** A tensor's name in both formats, without `.weight` or `.bias`; `*` is the layer's number. */
export type Stem = readonly [gguf: string, hub: string, layout?: Layout];

/** A number of the metadata and the field of config.json that it is. */
export interface Field {
  /** After the architecture's name and a dot. */
  readonly key: string;
  readonly field: string;
  readonly type: 'uint32' | 'float32' | 'bool';
  /** Its value in a config that says it elsewhere too; by default the field alone. */
  readonly value?: (config: Config) => unknown;
  /** What it means when it is not there, in either format. Without this it is required. */
  readonly otherwise?: ((config: Config) => unknown) | undefined;
  /** Where the two formats count differently: the field's value for the key's, and back. */
  readonly read?: (value: number, config: Config) => number;
  readonly write?: (value: number, config: Config) => number;
}

/** All that differs between architectures; the same tables serve reading and writing. */
export interface GgufFamily {
  /** `general.architecture`. */
  readonly architecture: string;
  readonly modelType: string;
  readonly className: string;
  /** What the Hub's names begin with, all but the head's; some checkpoints leave it away. */
  readonly prefix: string;
  readonly stems: readonly Stem[];
  /** Computed tensors of checkpoints, which GGUF does not have. */
  readonly buffers: RegExp;
  readonly fields: readonly Field[];
  /** Fields with the only values that llama.cpp computes; the first is what is read. */
  readonly fixed: Readonly<Record<string, readonly unknown[]>>;
  /** Fields that follow from which tensors there are; given their names in GGUF. */
  readonly fromTensors?: (names: ReadonlySet<string>) => Readonly<Record<string, unknown>>;
  /** Whether llama.cpp reads the output matrix even where it is the token embedding. */
  readonly needsOutput: boolean;
}

/** The Hub's [inputs, outputs] of GPT-2's Conv1D is GGUF's [outputs, inputs]; biases are the same. */
export const transposed: Layout = {
  transposes: true,
  swap: ([inputs, outputs]) => (outputs === undefined ? undefined : [1, inputs!, outputs, 1]),
};

/**
 * Rows of queries or keys by head: the Hub turns feature i with i + half, llama.cpp's llama turns neighbors, so that halves become
 * pairs. `field` counts the heads.
 */
export function rotaryPairs(field: string): Layout {
  return {
    transposes: false,
    swap: ([rows], config) => {
      const heads = countOf(config, field);
      return [heads, 2, rows! / heads / 2, 1];
    },
  };
}

/** Rows of q, k and v: by head on the Hub, all of q, of k, of v in GGUF. */
export function byHead(field: string): Layout {
  return {
    transposes: false,
    swap: ([rows], config) => {
      const heads = countOf(config, field);
      return [1, heads, 3, rows! / heads / 3];
    },
  };
}

/**
 * The swap of a layout for one tensor.
 * @throws {InputError} when the tensor cannot be cut that way.
 */
export function swapOf(
  { swap }: Layout,
  hubShape: readonly number[],
  config: Config,
  tensor: string,
): Swap | undefined {
  const found = swap(hubShape, config);
  if (!found) return undefined;
  if (found.every((axis) => Number.isInteger(axis) && axis > 0)) return found;
  throw new InputError(`its shape [${hubShape}] does not go with the config's heads`, { tensor });
}

/** A whole positive number of a config. @throws {InputError} */
export function countOf(config: Config, field: string): number {
  const value = config[field];
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw new InputError(`config.json: expected ${field} to be a positive integer, found ${String(value)}`);
}
