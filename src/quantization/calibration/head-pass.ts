import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { headGraph } from '../../architectures/forward.js';
import { randomNumbers } from '../../core/random.js';
import { loadWeights } from '../../inference/block-inputs.js';
import type { Program } from '../../inference/program.js';
import { type Feeds, floatsOf, type Runtime, type Session } from '../../onnx/runtime.js';
import { addBackward, BACKWARD_NAMES, type GraphMoments } from './backward-graph.js';
import type { Batch } from './batches.js';
import { sampleGradients } from './label-gradients.js';
import { tensorNameOf } from './matmul-sites.js';
import { MomentSums } from './moment-sums.js';
import type { StatisticsSink } from './statistics.js';

/** Maximum number of logits in memory: 64 MiB. */
const CHUNK_LOGITS = 2 ** 24;

interface Parts {
  /** The graph's name of the output matrix. */
  readonly matrix: string;
  readonly moments: GraphMoments;
  readonly forward: Session;
  readonly backward: Session;
  readonly weights: Feeds;
}

/** The pass of what follows the last layer: it turns hidden states into their cotangents, and collects statistics of its own matrices. */
export interface EndPass {
  /** Processes one batch. @param hidden [positions, hidden]. @returns the cotangents of `hidden`. */
  batch(hidden: Float32Array, batch: Batch): Promise<Float32Array>;
  /** Passes the statistics of its own matrices to the sink. @param predictions total number of predicting tokens, or of sentences. */
  give(sink: StatisticsSink, predictions: number): Promise<void>;
  release(): Promise<void>;
}

/** The head's forward and backward pass: logits, labels sampled from them, and the cotangents of the hidden states before the head. */
export class HeadPass implements EndPass {
  private readonly sums: MomentSums;
  private readonly random: () => number;
  private readonly rowWeights: Float64Array;

  private constructor(
    private readonly runtime: Runtime,
    private readonly program: Program,
    seed: number,
    private readonly parts: Parts,
  ) {
    this.sums = new MomentSums(runtime, parts.moments);
    this.random = randomNumbers(seed);
    this.rowWeights = new Float64Array(program.plan.vocabulary);
  }

  /** Opens the graphs. @param seed of the sampled labels. */
  static async open(
    runtime: Runtime,
    program: Program,
    seed: number,
    signal?: AbortSignal,
  ): Promise<HeadPass> {
    const matrix = outputMatrixOf(program);
    const graph = headGraph(program.plan);
    const moments = addBackward(graph, { output: 'logits', hidden: true, skipped: matrix });
    const weights = await loadWeights(runtime, program, program.head.weights, signal);
    const forward = await runtime.session(program.head.graph.encode());
    const backward = await runtime.session(graph.encode());
    return new HeadPass(runtime, program, seed, { matrix, moments, forward, backward, weights });
  }

  /**
   * Processes one batch. @param hidden [positions, hidden].
   * @returns the cotangents of `hidden`: zero at positions that do not predict.
   */
  async batch(hidden: Float32Array, { rows }: Pick<Batch, 'rows'>): Promise<Float32Array> {
    const { hiddenSize, vocabulary } = this.program.plan;
    const rowsAtOnce = Math.max(1, Math.floor(CHUNK_LOGITS / vocabulary));
    const cotangents = new Float32Array(hidden.length);
    for (let start = 0; start < rows.length; start += rowsAtOnce) {
      const chunk = rows.slice(start, start + rowsAtOnce);
      const states = new Float32Array(chunk.length * hiddenSize);
      for (const [i, row] of chunk.entries())
        states.set(hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize), i * hiddenSize);
      const found = await this.chunk(states, chunk.length);
      for (const [i, row] of chunk.entries())
        cotangents.set(found.subarray(i * hiddenSize, (i + 1) * hiddenSize), row * hiddenSize);
    }
    return cotangents;
  }

  /** Passes the head's statistics to the sink. @param predictions total number of rows. */
  async give(sink: StatisticsSink, predictions: number): Promise<void> {
    const { matrix, moments } = this.parts;
    for (const { site, inputs, outputs } of moments.sites) {
      const isHead = site.weight === matrix;
      await sink.add(tensorNameOf(this.program.head.weights, site.weight), {
        kind: isHead ? 'head' : 'linear',
        inputs: this.sums.mean(inputs!, predictions),
        outputs: isHead
          ? Float32Array.from(this.rowWeights, (weight) => weight / predictions)
          : this.sums.mean(outputs!, predictions),
        transposed: site.transposed,
      });
    }
  }

  async release(): Promise<void> {
    await Promise.all([this.parts.forward.release(), this.parts.backward.release()]);
  }

  private async chunk(states: Float32Array, rows: number): Promise<Float32Array> {
    const { runtime, program, parts } = this;
    const { hiddenSize, vocabulary, head } = program.plan;
    const given = { ...parts.weights, [BLOCK_INPUTS.hidden]: runtime.floats(states, [1, rows, hiddenSize]) };
    const { logits } = await parts.forward.run(given);
    const gradients = sampleGradients(floatsOf(logits), vocabulary, this.random, this.rowWeights, head);
    const cotangent = runtime.floats(gradients, [1, rows, vocabulary]);
    const before = new Float32Array(states.length);
    await this.sums.add(
      (feeds, into) => parts.backward.run(feeds, into),
      { ...given, [BACKWARD_NAMES.cotangent]: cotangent },
      { [BACKWARD_NAMES.cotangentOut]: runtime.floats(before, [1, rows, hiddenSize]) },
    );
    return before;
  }
}

/** Returns the name of the matrix of the head's last product. */
function outputMatrixOf({ head }: Program): string {
  return head.weights.findLast(({ tensor }) => tensor.shape.length === 2)!.input;
}
