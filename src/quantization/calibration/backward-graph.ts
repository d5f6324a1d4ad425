import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { CHOSEN } from '../../architectures/graphs/experts.js';
import { backward } from '../../onnx/gradient.js';
import type { Graph, Value } from '../../onnx/graph.js';
import { type MatmulSite, matmulSitesOf } from './matmul-sites.js';

/** Names of a backward graph's inputs and outputs beside those of its forward graph. */
export const BACKWARD_NAMES = {
  /** d(loss) / d(output): of a block's hidden states, of a head's logits. */
  cotangent: 'cotangent',
  /** d(loss) / d(input): of the block's input hidden states. */
  cotangentOut: 'cotangent_out',
} as const;

/**
 * How a second moment follows from values: of v itself; of x times the length of each token's gradient g; or of the sum over a sentence's
 * tokens of g x^T, D, as D D^T or D^T D over all sentences.
 */
export type MomentForm = 'plain' | 'weighted' | 'sentence';

/** A sum over tokens, or over sentences, [size, size]. */
export interface Moment {
  /** Unique in its graph. */
  readonly id: string;
  readonly form: MomentForm;
  readonly size: number;
  /** Outputs of the graph: the value, and the one that it is weighted by. */
  readonly values: readonly string[];
  /** The moment of the gradients whose squared lengths are the weights of the tokens; if missing, all weights are 1. */
  readonly weighting?: Moment;
}

/** The second moments on both sides of a matrix. */
export interface SiteMoments {
  readonly site: MatmulSite;
  /** Moment of the inputs, weighted by the gradient if there is one; undefined for an embedding, whose inputs are indices. */
  readonly inputs: Moment | undefined;
  /** Moment of the output gradients; undefined if skipped. */
  readonly outputs: Moment | undefined;
}

export interface BackwardOptions {
  /** The output that the cotangent belongs to: `hidden_out` or `logits`. It is no longer an output of the graph. */
  readonly output: string;
  /** Whether the graph's input is hidden states; their cotangent is then an output. */
  readonly hidden: boolean;
  /** Name of a matrix with too many outputs for the moment of its output gradients. */
  readonly skipped?: string;
  /** Whether all tokens of a sentence have one gradient, the sum over them, as for an embedding; see {@link MomentForm}. */
  readonly bySentence?: boolean;
}

/** The moments of a backward graph. */
export interface GraphMoments {
  readonly sites: readonly SiteMoments[];
  /** Moment of which experts each token passes: its diagonal counts their tokens. Undefined without experts. */
  readonly chosen: Moment | undefined;
}

/** Turns a forward graph into one that computes gradients, and returns what moments on both sides of its matrices are of. */
export function addBackward(
  g: Graph,
  { output, hidden, skipped, bySentence }: BackwardOptions,
): GraphMoments {
  const sites = matmulSitesOf(g);
  const differentiated = sites.filter(({ weight }) => weight !== skipped);
  const cotangent = g.input(BACKWARD_NAMES.cotangent, ['batch', 'sequence', 'features']);
  const wanted = [
    ...differentiated.map((site) => site.output),
    ...(hidden ? [{ name: BLOCK_INPUTS.hidden }] : []),
  ];
  const gradients = backward(g, new Map([[output, cotangent]]), wanted);
  g.withdraw(output);
  if (hidden) g.output(BACKWARD_NAMES.cotangentOut, gradients.at(-1)!, ['batch', 'sequence', 'hidden']);
  const values = new Map<string, string>();
  const outputOf = (value: Value): string => {
    const known = values.get(value.name) ?? `value_${values.size}`;
    if (!values.has(value.name)) g.output(known, value, undefined);
    values.set(value.name, known);
    return known;
  };
  const moments = new Map<string, Moment>();
  const moment = (form: MomentForm, size: number, of: readonly Value[], weighting?: Moment): Moment => {
    const outputs = of.map(outputOf);
    const id = `${form} ${outputs.join(' ')}`;
    if (!moments.has(id))
      moments.set(id, { id, form, size, values: outputs, ...(weighting && { weighting }) });
    return moments.get(id)!;
  };
  const all = sites.map((site): SiteMoments => {
    const { kind, input, inputSize, outputSize } = site;
    const gradient = gradients[differentiated.indexOf(site)];
    const isLinear = kind === 'linear';
    if (!gradient) return { site, inputs: moment('plain', inputSize, [input]), outputs: undefined };
    // a wrong weight errs alike in all tokens, and an embedding adds these errors up, so that moments of single tokens miss most of its
    // cost: at 7 MB the loss of all-MiniLM-L6-v2 is 13 % larger with them
    const isOfSentences = bySentence && isLinear;
    const outputs = isOfSentences
      ? moment('sentence', outputSize, [gradient, input])
      : moment('plain', outputSize, [gradient]);
    const form = isOfSentences ? 'sentence' : 'weighted';
    return {
      site,
      outputs,
      inputs: isLinear ? moment(form, inputSize, [input, gradient], outputs) : undefined,
    };
  });
  const chosen = g.marked(CHOSEN);
  const experts = new Set(sites.flatMap(({ expert }) => expert ?? [])).size;
  return { sites: all, chosen: chosen && moment('plain', experts, [chosen]) };
}
