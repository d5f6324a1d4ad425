import { InputError } from '../core/errors.js';
import { RULES, Step } from './gradient-rules.js';
import type { Graph, Value } from './graph.js';
import type { Node } from './proto.js';

/**
 * Appends to a graph what computes vector-Jacobian products: for a loss of which the cotangents of some values are given
 * (`seeds`, by name), d(loss) / d(value) of the `wanted` ones, which lie before them. Reverse mode, an operation at a
 * time, by a rule for every operation that the architectures' graphs use, so that an architecture is written once.
 * A cotangent has its value's shape, but for activations that an operation repeats for every sequence of the batch (the rows of
 * a position table): theirs stays one for each token.
 * @throws {InputError} for an operation without a rule, and for a value that the loss does not depend on.
 */
export function backward(
  g: Graph,
  seeds: ReadonlyMap<string, Value>,
  wanted: readonly Value[],
): readonly Value[] {
  const nodes = g.operationNodes;
  const active = dependents(nodes, wanted);
  const cotangents = new Map(seeds);
  const add = (name: string, part: Value) => {
    const before = cotangents.get(name);
    cotangents.set(name, before ? g.add(before, part) : part);
  };
  for (const node of nodes.toReversed()) {
    const given = node.outputs.map((name) => cotangents.get(name));
    if (!given.some((value) => value) || !node.inputs.some((name) => active.has(name))) continue;
    const rule = Object.hasOwn(RULES, node.operation) ? RULES[node.operation] : undefined;
    if (!rule) throw new InputError(`there is no gradient of ${node.operation}`);
    const parts = rule(new Step(g, node), given as Value[]);
    for (const [i, name] of node.inputs.entries()) if (active.has(name) && parts[i]) add(name, parts[i]());
  }
  return wanted.map(({ name }) => {
    const found = cotangents.get(name);
    if (!found) throw new InputError(`the loss does not depend on ${name}`);
    return found;
  });
}

/** The values that depend on the wanted ones, these included. */
function dependents(nodes: readonly Node[], wanted: readonly Value[]): ReadonlySet<string> {
  const active = new Set(wanted.map(({ name }) => name));
  for (const { inputs, outputs } of nodes)
    if (inputs.some((name) => active.has(name))) for (const name of outputs) active.add(name);
  return active;
}
