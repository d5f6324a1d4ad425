import {
  type Fallback,
  fittingType,
  MIXTURES,
  type Mixture,
  type MixtureType,
  mixtureTypes,
} from '../../models/gguf/mixtures.js';
import { type GgufType, typeNamed } from '../../models/gguf/types.js';
import type { Budget } from '../../quantization/rate-control/budget.js';
import type { GgufView } from '../export/gguf-tensors.js';
import { typeFor } from '../export/gguf-types.js';
import type { Described } from './described.js';

/** A type for the tensors whose name in llama.cpp matches. */
export interface TypeRule {
  /** Of names such as `blk.0.attn_v.weight`. */
  readonly pattern: RegExp;
  /** If rows are whole blocks of it; otherwise llama.cpp's fallback. */
  readonly type: MixtureType;
}

/** The type of each tensor of a file. */
export interface ChosenTypes {
  /** By the tensor's name in the file. */
  readonly types: ReadonlyMap<string, GgufType>;
  /** Tensors whose rows are not whole blocks of the type that they should have. */
  readonly fallbacks: readonly Fallback[];
  /** `general.file_type`. */
  readonly fileType: number;
}

/** Returns how a file names what was asked for: a mixture or a budget, and the rules for some tensors. */
export function nameOfTypes(to: Mixture | Budget, rules: readonly TypeRule[]): string {
  const asked =
    typeof to === 'string'
      ? to
      : Object.entries(to)
          .map(([name, value]) => `--${name} ${value}`)
          .join(' ');
  return [asked, ...rules.map(({ pattern, type }) => `${pattern.source}=${type}`)].join(', ');
}

/** What a rule gives a tensor. */
export interface Ruled {
  readonly type: MixtureType;
  /** Undefined if it is the rule's own type. */
  readonly fallback: Fallback | undefined;
}

/** Returns the type that the last rule that matches gives a tensor; undefined if none does. */
export function ruledType(
  rules: readonly TypeRule[],
  { role, shape }: Pick<GgufView, 'role' | 'shape'>,
): Ruled | undefined {
  const rule = rules.findLast(({ pattern }) => pattern.test(role));
  if (!rule) return undefined;
  const type = fittingType(rule.type, shape);
  return { type, fallback: type === rule.type ? undefined : { name: role, wanted: rule.type, given: type } };
}

/** Returns the types of a mixture of llama.cpp. @param rules of them the last that matches decides. */
export function typesOfMixture(
  { views, facts }: Described,
  mixture: Mixture,
  rules: readonly TypeRule[],
  isWeighted: boolean,
): ChosenTypes {
  const tensors = views.map(({ role, shape }) => ({ name: role, shape }));
  const chosen = mixtureTypes(mixture, facts, tensors, { isWeighted });
  const fallbacks = new Map(chosen.fallbacks.map((fallback) => [fallback.name, fallback]));
  const types = new Map<string, GgufType>();
  for (const view of views) {
    const { name, role, shape } = view;
    const own = chosen.types.get(role);
    const ruled = own && ruledType(rules, view);
    if (ruled) fallbacks.delete(role);
    if (ruled?.fallback) fallbacks.set(role, ruled.fallback);
    types.set(name, typeNamed(ruled?.type ?? own ?? typeFor('F16', role, shape)));
  }
  return { types, fallbacks: [...fallbacks.values()], fileType: MIXTURES[mixture].fileType };
}
