import type { TypeCost } from './costs.js';

/** The type of each tensor, by its name. */
export type Choice = ReadonlyMap<string, TypeCost>;

/** One tensor gets a better type. */
interface Step {
  readonly name: string;
  readonly from: TypeCost;
  readonly to: TypeCost;
}

/**
 * Choices from the fewest bytes to the least loss: each step gives the tensor a better type whose loss falls most per byte. A type that a mix
 * of two others beats is not in it.
 */
export class Ladder {
  /** The choice of the fewest bytes. */
  readonly smallest: Choice;
  private readonly steps: readonly Step[];

  constructor(costs: ReadonlyMap<string, readonly TypeCost[]>) {
    const hulls = [...costs].map(([name, own]) => [name, hullOf(own)] as const);
    this.smallest = new Map(hulls.map(([name, hull]) => [name, hull[0]!]));
    this.steps = hulls
      .flatMap(([name, hull]) => hull.slice(1).map((to, i): Step => ({ name, from: hull[i]!, to })))
      .sort((a, b) => gainOf(b.from, b.to) - gainOf(a.from, a.to));
  }

  /** The choice of the least loss. */
  get best(): Choice {
    return this.within(() => true);
  }

  /** Returns the choice of the least loss that a size allows: steps that no longer fit are left out. */
  within(fits: (choice: Choice) => boolean): Choice {
    const chosen = new Map(this.smallest);
    for (const { name, from, to } of this.steps) {
      if (chosen.get(name) !== from) continue;
      chosen.set(name, to);
      if (!fits(chosen)) chosen.set(name, from);
    }
    return chosen;
  }

  /** Returns the choice of the fewest bytes with at most this loss in all; the best one if there is none. */
  below(loss: number): Choice {
    const chosen = new Map(this.smallest);
    for (const { name, to } of this.steps) {
      if (lossOfChoice(chosen) <= loss) break;
      chosen.set(name, to);
    }
    return chosen;
  }
}

/** Returns the expected loss of a choice, in nats per token. */
export function lossOfChoice(choice: Choice): number {
  let sum = 0;
  for (const { loss } of choice.values()) sum += loss;
  return sum;
}

const gainOf = (from: TypeCost, to: TypeCost) => (from.loss - to.loss) / (to.bytes - from.bytes);

/** Returns the costs for which no mix of two others has as little loss in as few bytes, from the fewest bytes on. */
function hullOf(costs: readonly TypeCost[]): TypeCost[] {
  const hull: TypeCost[] = [];
  for (const cost of costs.toSorted((a, b) => a.bytes - b.bytes || a.loss - b.loss)) {
    if (hull.length && cost.loss >= hull.at(-1)!.loss) continue;
    while (hull.length > 1 && gainOf(hull.at(-2)!, hull.at(-1)!) <= gainOf(hull.at(-1)!, cost)) hull.pop();
    hull.push(cost);
  }
  return hull;
}
