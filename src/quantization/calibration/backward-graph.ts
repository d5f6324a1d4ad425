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

/** A sum over tokens of v v^T, [size, size]: an output of a graph, and the input with the sum over earlier tokens. */
export interface Moment {
  readonly output: string;
  readonly before: string;
  readonly size: number;
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
  /** Whether all tokens of a sentence have one gradient, the sum over them, as for an embedding; see {@link addSentenceMoments}. */
  readonly bySentence?: boolean;
}

/** The moments of a backward graph. */
export interface GraphMoments {
  readonly sites: readonly SiteMoments[];
  /** Moment of which experts each token passes: its diagonal counts their tokens. Undefined without experts. */
  readonly chosen: Moment | undefined;
}

/** Turns a forward graph into one that computes gradients, and second moments on both sides of its matrices. */
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
  const moments = new Map<string, Moment>();
  const moment = (value: Value, size: number, weighting?: Moment): Moment => {
    if (!moments.has(value.name))
      moments.set(value.name, {
        ...addMoment(g, value, size, moments.size),
        ...(weighting && { weighting }),
      });
    return moments.get(value.name)!;
  };
  const chosen = g.marked(CHOSEN);
  const all = sites.map((site) => {
    const gradient = gradients[differentiated.indexOf(site)];
    if (bySentence && gradient && site.kind === 'linear') {
      const found = addSentenceMoments(g, site, gradient, moments.size);
      for (const own of [found.inputs, found.outputs]) moments.set(own!.output, own!);
      return found;
    }
    const outputs = gradient && moment(gradient, site.outputSize);
    if (site.kind !== 'linear') return { site, inputs: undefined, outputs };
    const weighted = gradient ? g.multiply(site.input, length(g, gradient)) : site.input;
    return { site, inputs: moment(weighted, site.inputSize, outputs), outputs };
  });
  const experts = new Set(sites.flatMap(({ expert }) => expert ?? [])).size;
  return { sites: all, chosen: chosen && moment(chosen, experts) };
}

/** Adds |x| over the last axis, [batch, sequence, 1]. */
function length(g: Graph, x: Value): Value {
  return g.operation('ReduceL2', [x, g.integers([-1])], { keepdims: 1 });
}

/**
 * Adds the second moments of D = sum over a sentence's tokens of g x^T, the gradient of the matrix: sums over sentences of D D^T for the
 * outputs, and of D^T D for the inputs, over the trace of the former. A wrong weight errs alike in all tokens, and an embedding adds
 * these errors up, so that moments of single tokens miss most of its cost: at 7 MB the loss of all-MiniLM-L6-v2 is 13 % larger with them.
 */
function addSentenceMoments(g: Graph, site: MatmulSite, gradient: Value, index: number): SiteMoments {
  const { input, inputSize, outputSize } = site;
  const alike = (x: Value) => g.matmulTransposed(x, x); // of tokens, [batch, sequence, sequence]
  const outputs = addMoment(g, gradient, outputSize, index, g.matmul(alike(input), gradient));
  const inputs = addMoment(g, input, inputSize, index + 1, g.matmul(alike(gradient), input));
  return { site, inputs: { ...inputs, weighting: outputs }, outputs };
}

/** Adds the second moment of x, or x^T y summed over tokens, [batch, sequence, size] both, as one operation for product and sum. */
function addMoment(g: Graph, x: Value, size: number, index: number, y = x): Moment {
  const moment = { output: `moment_${index}`, before: `moment_${index}_before`, size };
  const rows = [x, y].map((value) => g.reshape(value, [-1, size]));
  const before = g.input(moment.before, [size, size]);
  g.output(moment.output, g.operation('Gemm', [...rows, before], { transA: 1 }), [size, size]);
  return moment;
}
