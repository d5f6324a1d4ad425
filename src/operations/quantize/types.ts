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
import { typeFor } from '../export/gguf-types.js';
import type { Described } from './described.js';

/** A type for the tensors whose name in llama.cpp matches. */
export interface TypeRule {
  readonly pattern: RegExp;
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
  for (const { name, role, shape } of views) {
    let type = chosen.types.get(role);
    const rule = type && rules.findLast(({ pattern }) => pattern.test(role));
    if (rule) {
      type = fittingType(rule.type, shape);
      fallbacks.delete(role);
      if (type !== rule.type) fallbacks.set(role, { name: role, wanted: rule.type, given: type });
    }
    types.set(name, typeNamed(type ?? typeFor('F16', role, shape)));
  }
  return { types, fallbacks: [...fallbacks.values()], fileType: MIXTURES[mixture].fileType };
}
