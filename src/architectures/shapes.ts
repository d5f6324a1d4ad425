import { InputError } from '../core/errors.js';
import { quote } from '../core/json.js';
import type { Graph } from '../onnx/graph.js';
import type { Family } from './family.js';
import {
  embeddingGraph,
  type ForwardPlan,
  headGraph,
  layerGraph,
  layerPrefix,
  planForward,
} from './forward.js';
import { FAMILIES, findFamily } from './registry.js';
import { HEAD_SLOTS } from './slots.js';

/** A parameter as named and shaped in checkpoints on the Hub. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Returns the parameters of a model with this config, named as in checkpoints on the Hub, in the order of their use, without buffers or
 * a tied head.
 * @throws {InputError} for an unknown family, an incomplete config, and unsupported settings.
 */
export function parameterShapes(config: Readonly<Record<string, unknown>>): ParameterShape[] {
  const family = findFamily(config);
  if (!family) {
    const known = FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ');
    throw new InputError(
      `config.json: unknown model_type ${quote(config.model_type)}, expected one of ${known}`,
    );
  }
  const plan = planForward(family, config, { anyFields: true });
  const bare = family.pooler !== undefined && isBare(config);
  const graphs = [
    { graph: embeddingGraph(plan), prefix: '' },
    ...plan.layers.map((_, layer) => ({ graph: layerGraph(plan, layer), prefix: layerPrefix(plan, layer) })),
    ...(bare ? [] : [{ graph: headGraph(plan), prefix: '' }]),
  ];
  const all = graphs.flatMap(({ graph, prefix }) => shapesOf(graph, prefix, family, bare));
  return [...new Map([...all, ...poolerOf(plan, bare)].map((shape) => [shape.name, shape])).values()];
}

/** Returns whether a config is of a model without a head. */
function isBare({ architectures }: Readonly<Record<string, unknown>>): boolean {
  return Array.isArray(architectures) && /^\w+Model$/.test(String(architectures[0]));
}

function shapesOf(graph: Graph, prefix: string, family: Family, bare: boolean): ParameterShape[] {
  const heads = [...HEAD_SLOTS].flatMap((slot) => family.names[slot] ?? []);
  return graph.weights.map(({ tensor, shape, part, ofModel }) => {
    const stem = tensor.replace(/\.(weight|bias)$/, '');
    const familyPrefix = bare || (!prefix && heads.includes(stem)) ? '' : family.prefixes[0];
    return {
      name: familyPrefix + (ofModel ? '' : prefix) + tensor,
      shape: part ? [part.count, ...shape] : shape,
    };
  });
}

function poolerOf({ family, hiddenSize }: ForwardPlan, bare: boolean): ParameterShape[] {
  if (!bare) return [];
  return [
    { name: `${family.pooler}.weight`, shape: [hiddenSize, hiddenSize] },
    { name: `${family.pooler}.bias`, shape: [hiddenSize] },
  ];
}
