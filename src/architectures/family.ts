import type { Config } from '../core/json.js';
import type { ConfigReader } from './config-reader.js';
import type { Dimensions } from './dimensions.js';
import type { Settings } from './settings.js';
import type { Names, Slot } from './slots.js';

/**
 * A model family as data. Roles and shapes of tensors, the forward pass and its gradients, the names in GGUF and what `analyze` says all
 * follow from it.
 */
export interface Family {
  /** Display name: `GPT-Neo`. */
  readonly name: string;
  /** Values of `model_type` in config.json. */
  readonly modelTypes: readonly string[];
  /** Matches names in `architectures`, for configs without a `model_type`. */
  readonly classes: RegExp;
  /** Prefixes of tensor names other than the head's: the usual one, and those of other checkpoints. Bare models have none. */
  readonly prefixes: readonly [string, ...string[]];
  /** Prefix of a layer's tensors; `*` stands for the layer. */
  readonly layer: string;
  readonly names: Names;
  /** Further names of slots, in some of the family's models. */
  readonly otherNames?: Readonly<Record<string, Slot>>;
  /** Whether matrices of layers are stored [inputs, outputs]. */
  readonly columns?: boolean;
  /** Dimensions that configs may leave out. */
  readonly defaults?: Partial<Dimensions>;
  /** Whether embeddings are tied by default. */
  readonly tiedByDefault: boolean;
  /** Matches stored tensors that are computed from the config: masks, frequencies. */
  readonly buffers?: RegExp;
  /** Matches other stored tensors that logits do not depend on: poolers, further heads. */
  readonly unneeded?: RegExp;
  /** Name of the dense layer that bare encoders have beside their layers. */
  readonly pooler?: string;
  /** Names of tensors that may be stored twice, because modules share them, and the name of the one that is used. */
  readonly copies?: Readonly<Record<string, string>>;
  /** Returns the number of reserved rows at the start of the position table. */
  readonly reservedPositions?: (config: Config) => number;
  /** Reads everything that the forward pass needs. @throws {InputError} when a field is missing or has an unsupported value. */
  settings(c: ConfigReader, size: Dimensions & { readonly tied: boolean }): Settings;
}
