import type { Family } from '../../architectures/family.js';
import type { ForwardPlan } from '../../architectures/forward.js';
import type { Slot } from '../../architectures/slots.js';
import type { Get, Key, KeyName } from './keys.js';

/** Fields of config.json that follow from the value of a key. */
export type ReadKey = (value: number, get: Get) => Readonly<Record<string, unknown>>;

/** A key of the metadata, the field of config.json that has the same value, or what else follows from it, and a value of its own. */
export type Field = readonly [key: KeyName, field: string | ReadKey, of?: Key['of']];

/** The shapes of a file's tensors by their names. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** Names of slots in GGUF. */
export type Stems = { readonly [slot in Slot]?: string };

/** How llama.cpp stores and computes one or several model types. Names of tensors follow from the family, and from `stems`. */
export interface GgufFamily {
  /** `general.architecture`. */
  readonly architecture: string;
  /** The family that a file is read as. */
  readonly family: Family;
  readonly className: string;
  /** Model types that are written with this architecture: first the one that a file is read as. */
  readonly modelTypes: readonly [string, ...string[]];
  /** Decides between descriptions of one architecture. */
  readonly matches?: (get: Get, shapes: Shapes) => boolean;
  /** Names of slots that are not the usual ones. */
  readonly stems?: Stems;
  /** The same where they depend on the model. */
  readonly stemsFor?: (plan: ForwardPlan) => Stems;
  /** Which features of a head llama.cpp rotates together, unless the Hub's order is kept. */
  readonly pairs?: 'neighbors';
  readonly fields: readonly Field[];
  /** Fields with the only values that llama.cpp supports. Reading sets the first. */
  readonly fixed: Readonly<Record<string, readonly unknown[]>>;
  /** Returns further fields, from the metadata and the tensors. */
  readonly more?: (get: Get, shapes: Shapes) => Readonly<Record<string, unknown>>;
  /** The layers with a window: all but one in `period`, the last of them or the first, and the default size. Without it llama.cpp has none. */
  readonly windows?: {
    readonly period: number;
    readonly first?: boolean;
    readonly size?: number;
    /** By default `sliding_window`. */
    readonly field?: string;
  };
  /** The scalings of rotary positions whose divisors llama.cpp reads from tensors. */
  readonly factors?: readonly ('llama3' | 'longrope')[];
  /** Whether llama.cpp needs an output matrix even if it is tied to the token embedding. */
  readonly needsOutput?: boolean;
  /** Whether llama.cpp always takes the token embedding as the output matrix. */
  readonly isTied?: boolean;
  /** Whether llama.cpp has no language-model head for the architecture. */
  readonly isHeadless?: boolean;
  /** Returns what llama.cpp cannot compute of a model, beside what is seen when the file is read back. */
  readonly refuses?: (plan: ForwardPlan) => string | undefined;
}
