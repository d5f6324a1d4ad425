import { InputError } from '../../core/errors.js';
import type { Config } from '../../core/json.js';
import type { Swap } from './axes.js';

/** How a tensor's layout differs between the Hub and GGUF. */
export interface Layout {
  /** Whether the dimensions are reversed. */
  readonly transposes: boolean;
  /** Returns the axes of the Hub's tensor that are swapped in GGUF; undefined if the order is the same. */
  swap(hubShape: readonly number[], config: Config): Swap | undefined;
}

/** A tensor's name in both formats, without `.weight` or `.bias`; `*` stands for the layer number. */
export type Stem = readonly [gguf: string, hub: string, layout?: Layout];

/** A metadata key and its field in config.json. */
export interface Field {
  /** Key without the prefix `ARCHITECTURE.`. */
  readonly key: string;
  readonly field: string;
  readonly type: 'uint32' | 'float32' | 'bool';
  /** Returns its value from a config that may have it elsewhere; by default the field. */
  readonly value?: (config: Config) => unknown;
  /** Returns the default when it is missing, in either format. Without this it is required. */
  readonly fallback?: ((config: Config) => unknown) | undefined;
  /** Convert the key's value to the field's and back, where they differ. */
  readonly read?: (value: number, config: Config) => number;
  readonly write?: (value: number, config: Config) => number;
}

/** Tables of an architecture, used for both reading and writing. */
export interface GgufFamily {
  /** `general.architecture`. */
  readonly architecture: string;
  readonly modelType: string;
  readonly className: string;
  /** Prefix of the Hub's names, except the head's; some checkpoints omit it. */
  readonly prefix: string;
  readonly stems: readonly Stem[];
  /** Names of computed tensors in checkpoints, which GGUF omits. */
  readonly buffers: RegExp;
  readonly fields: readonly Field[];
  /** Fields with the only values that llama.cpp supports. Reading sets the first. */
  readonly fixed: Readonly<Record<string, readonly unknown[]>>;
  /** Returns fields that depend on which tensors exist, given their GGUF names. */
  readonly fromTensors?: (names: ReadonlySet<string>) => Readonly<Record<string, unknown>>;
  /** Whether llama.cpp needs an output matrix even if it is tied to the token embedding. */
  readonly needsOutput: boolean;
}

/** Layout of GPT-2's Conv1D: [inputs, outputs] on the Hub, [outputs, inputs] in GGUF. Biases are the same. */
export const transposed: Layout = {
  transposes: true,
  swap: ([inputs, outputs]) => (outputs === undefined ? undefined : [1, inputs!, outputs, 1]),
};

/**
 * Returns the layout of query or key rows with rotary positions: the Hub rotates feature i with i + half, llama.cpp's llama rotates
 * adjacent features. `field` is the config field with the number of heads.
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

/** Returns the layout of fused q, k and v rows: interleaved by head on the Hub, all of q, then k, then v in GGUF. */
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
 * Returns the swap of a layout for one tensor.
 * @throws {InputError} when the tensor's shape does not divide into heads.
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
  throw new InputError(`shape [${hubShape}] does not match the number of heads in the config`, { tensor });
}

/** Returns a positive integer from a config. @throws {InputError} when it is anything else. */
export function countOf(config: Config, field: string): number {
  const value = config[field];
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw new InputError(`config.json: expected ${field} to be a positive integer, found ${String(value)}`);
}
