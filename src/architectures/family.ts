import type { Dimensions } from './dimensions.js';

/** What tensors are in a model, in the order of tables. */
export const ROLES = [
  'token embedding',
  'position embedding',
  'attention',
  'MLP',
  'norm',
  'head',
  'buffer',
  'other',
] as const;
/** What a tensor is in a model. */
export type Role = (typeof ROLES)[number];

/** The first pattern found in a tensor's name, its prefix removed, gives the role. */
export type RoleRule = readonly [pattern: RegExp, role: Role];

/** A parameter as the checkpoints on the Hub have it. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Everything that differs between families of models, apart from the arithmetic. */
export interface Family {
  /** As people write it: `GPT-Neo`. */
  readonly name: string;
  /** The `model_type`s of config.json that are this family. */
  readonly modelTypes: readonly string[];
  /** The names in `architectures` that are, for configs without a `model_type`. */
  readonly classes: RegExp;
  /** What names of tensors begin with; bare checkpoints leave it away. */
  readonly prefix: string;
  /** Whether the output matrix is the token embedding when the config does not say. */
  readonly tiedByDefault: boolean;
  /** Positions reserved at the front of the position table, which no token gets. */
  readonly reservedPositions?: (config: Readonly<Record<string, unknown>>) => number;
  readonly roles: readonly RoleRule[];
  /** The parameters of a model of this size, in the order of its modules; no buffers, a tied head once. */
  parameterShapes(
    size: Dimensions & { readonly tied: boolean },
    config: Readonly<Record<string, unknown>>,
  ): ParameterShape[];
}

/** A matrix [outputs, inputs] and its bias, if there is one. */
export function linear(name: string, outputs: number, inputs: number, bias = true): ParameterShape[] {
  const weight = { name: `${name}.weight`, shape: [outputs, inputs] };
  return bias ? [weight, { name: `${name}.bias`, shape: [outputs] }] : [weight];
}

/** The scale of a norm and its shift, if there is one. */
export function norm(name: string, size: number, bias = true): ParameterShape[] {
  const weight = { name: `${name}.weight`, shape: [size] };
  return bias ? [weight, { name: `${name}.bias`, shape: [size] }] : [weight];
}

/** A table of `rows` vectors, or a matrix without bias. */
export function matrix(name: string, rows: number, columns: number): ParameterShape[] {
  return linear(name, rows, columns, false);
}

/** What `layer` gives for each of `layers`, one after another. */
export function repeat(layers: number, layer: (index: number) => ParameterShape[]): ParameterShape[] {
  return Array.from({ length: layers }, (_, index) => layer(index)).flat();
}
