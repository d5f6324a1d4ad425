import type { GraphMoments, Moment, SiteMoments } from './backward-graph.js';
import { dampExperts, groupExperts, stackExperts } from './expert-statistics.js';
import type { MatmulSite } from './matmul-sites.js';
import type { MomentSums } from './moment-sums.js';
import type { TensorMoments } from './statistics.js';

/** Statistics that are computed together: those of one matrix, or of the same matrix of all experts. */
export interface Unit {
  readonly sites: readonly SiteMoments[];
  /** Of experts, the moment whose diagonal counts their tokens. */
  readonly chosen: Moment | undefined;
}

/** What statistics depend on beside the sums. */
export interface UnitContext {
  /** Total number of predicting tokens, or of sentences. */
  readonly predictions: number;
  /** Returns the statistics of a matrix's rows where they are no moment: how often each row is looked up, or predicted. */
  readonly rowsOf: (site: MatmulSite) => Float32Array;
}

/** Statistics of a unit, by the graph's names of its matrices. */
export interface UnitStatistics {
  readonly tensors: readonly (readonly [weight: string, TensorMoments])[];
  /** Tokens of the expert that the fewest passed; infinity without experts. */
  readonly fewest: number;
}

/** Divides the moments of a graph into units. Those of experts come last. */
export function unitsOf({ sites, chosen }: GraphMoments): Unit[] {
  const alone = sites.filter(({ site }) => site.expert === undefined);
  const ofExperts = sites.filter(({ site }) => site.expert !== undefined);
  const groups = chosen ? groupExperts(ofExperts, ({ site }) => site.expert!) : [];
  return [
    ...alone.map((site) => ({ sites: [site], chosen: undefined })),
    ...groups.map((group) => ({ sites: group, chosen })),
  ];
}

/** Returns the moments of units, each once. */
export function momentsOf(units: readonly Unit[]): Moment[] {
  const all = units.flatMap(({ sites, chosen }) => [
    ...sites.flatMap(({ inputs, outputs }) => [inputs, outputs]),
    chosen,
  ]);
  return [...new Set(all.filter((moment) => moment !== undefined))];
}

/** Computes the statistics of a unit from finished sums. */
export function statisticsOf(unit: Unit, sums: MomentSums, context: UnitContext): UnitStatistics {
  const { sites, chosen } = unit;
  const found = sites.map((each) => momentsOfSite(each, sums, context));
  const nameOf = (index: number) => sites[index]!.site.weight;
  if (!chosen) return { tensors: [[nameOf(0), found[0]!]], fewest: Number.POSITIVE_INFINITY };
  const counts = diagonal(sums.mean(chosen, 1), chosen.size);
  const damped = dampExperts(found, counts);
  return {
    tensors: sites[0]!.site.stacked
      ? [[nameOf(0), stackExperts(damped)]]
      : damped.map((each, i) => [nameOf(i), each]),
    fewest: Math.min(...counts),
  };
}

function momentsOfSite(
  { site, inputs, outputs }: SiteMoments,
  sums: MomentSums,
  { predictions, rowsOf }: UnitContext,
): TensorMoments {
  const { transposed } = site;
  const mean = (moment: Moment) => sums.mean(moment, predictions);
  if (inputs && outputs) return { kind: 'linear', inputs: mean(inputs), outputs: mean(outputs), transposed };
  return inputs
    ? { kind: 'head', inputs: mean(inputs), outputs: rowsOf(site), transposed }
    : { kind: 'embedding', inputs: mean(outputs!), outputs: rowsOf(site), transposed };
}

function diagonal(matrix: Float32Array, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Math.round(matrix[i * size + i]!));
}
