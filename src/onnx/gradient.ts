import { InputError } from '../core/errors.js';
import { RULES, Step } from './gradient-rules.js';
import type { Graph, Value } from './graph.js';
import type { Node } from './proto.js';

/**
 * Appends vector-Jacobian products to a graph: from the cotangents of some values (`seeds`, by name) to d(loss) / d(value) of the `wanted`
 * values. Reverse-mode differentiation with a rule per operation, so that an architecture's gradients need no code of their own.
 * A cotangent has its value's shape, except for activations that are broadcast over the batch (rows of a position table), whose
 * cotangents are per token.
 * @throws {InputError} for an operation without a rule, and for a value that the loss does not depend on.
 */
export function backward(
  g: Graph,
  seeds: ReadonlyMap<string, Value>,
  wanted: readonly Value[],
): readonly Value[] {
  return gradientsOf(g, seeds, wanted).map((found, i) => {
    if (!found) throw new InputError(`the loss does not depend on ${wanted[i]!.name}`);
    return found;
  });
}

/** Appends the same as {@link backward}; a value that the loss does not depend on has no gradient. */
export function gradientsOf(
  g: Graph,
  seeds: ReadonlyMap<string, Value>,
  wanted: readonly Value[],
): readonly (Value | undefined)[] {
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
    if (!rule) throw new InputError(`no gradient rule for ${node.operation}`);
    const parts = rule(new Step(g, node), given as Value[]);
    for (const [i, name] of node.inputs.entries()) if (active.has(name) && parts[i]) add(name, parts[i]());
  }
  return wanted.map(({ name }) => cotangents.get(name));
}

/** Returns the values that depend on the wanted ones, including these. */
function dependents(nodes: readonly Node[], wanted: readonly Value[]): ReadonlySet<string> {
  const active = new Set(wanted.map(({ name }) => name));
  for (const { inputs, outputs } of nodes)
    if (inputs.some((name) => active.has(name))) for (const name of outputs) active.add(name);
  return active;
}
