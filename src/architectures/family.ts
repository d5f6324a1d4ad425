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

/** The first pattern that matches a tensor's name, without prefix, determines its role. */
export type RoleRule = readonly [pattern: RegExp, role: Role];

/** A parameter as named and shaped in checkpoints on the Hub. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Properties of a model family, apart from its forward pass. */
export interface Family {
  /** Display name: `GPT-Neo`. */
  readonly name: string;
  /** Values of `model_type` in config.json. */
  readonly modelTypes: readonly string[];
  /** Matches names in `architectures`, for configs without a `model_type`. */
  readonly classes: RegExp;
  /** Prefix of tensor names, which checkpoints of the bare model omit. */
  readonly prefix: string;
  /** Whether embeddings are tied by default. */
  readonly tiedByDefault: boolean;
  /** Returns the number of reserved rows at the start of the position table. */
  readonly reservedPositions?: (config: Readonly<Record<string, unknown>>) => number;
  readonly roles: readonly RoleRule[];
  /** Returns the parameters of a model of this size in the order of its modules, without buffers or a tied head. */
  parameterShapes(
    size: Dimensions & { readonly tied: boolean },
    config: Readonly<Record<string, unknown>>,
  ): ParameterShape[];
}

/** Returns a matrix [outputs, inputs] and, optionally, its bias. */
export function linear(name: string, outputs: number, inputs: number, bias = true): ParameterShape[] {
  const weight = { name: `${name}.weight`, shape: [outputs, inputs] };
  return bias ? [weight, { name: `${name}.bias`, shape: [outputs] }] : [weight];
}

/** Returns the scale of a norm and, optionally, its bias. */
export function norm(name: string, size: number, bias = true): ParameterShape[] {
  const weight = { name: `${name}.weight`, shape: [size] };
  return bias ? [weight, { name: `${name}.bias`, shape: [size] }] : [weight];
}

/** Returns a table [rows, columns], or a matrix without bias. */
export function matrix(name: string, rows: number, columns: number): ParameterShape[] {
  return linear(name, rows, columns, false);
}

/** Returns the parameters of `layers` layers in order. */
export function repeat(layers: number, layer: (index: number) => ParameterShape[]): ParameterShape[] {
  return Array.from({ length: layers }, (_, index) => layer(index)).flat();
}
