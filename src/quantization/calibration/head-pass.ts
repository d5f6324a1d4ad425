import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { randomNumbers } from '../../core/random.js';
import { loadWeights } from '../../inference/block-inputs.js';
import type { Program } from '../../inference/program.js';
import { type Feeds, floatsOf, type Runtime, type Session } from '../../onnx/runtime.js';
import { BACKWARD_NAMES } from './backward-graph.js';
import type { Batch } from './batches.js';
import { sampleGradients } from './label-gradients.js';
import type { StageReceiver } from './receiver.js';
import { headStage, type Stage } from './stages.js';

/** Maximum number of logits in memory: 64 MiB. */
const CHUNK_LOGITS = 2 ** 24;

interface Parts {
  readonly stage: Stage;
  readonly forward: Session;
  readonly backward: Session;
  readonly weights: Feeds;
}

/** The pass of what follows the last layer: it turns hidden states into their cotangents. */
export interface EndPass {
  /** The stage of its own matrices; undefined without any. */
  readonly stage: Stage | undefined;
  /** Leaves out a batch: those after it get the same random numbers as if it had been processed. */
  skip(batch: Batch): void;
  /**
   * Processes one batch. @param hidden [positions, hidden]. @param receiver of the stage.
   * @returns the cotangents of `hidden`.
   */
  batch(hidden: Float32Array, batch: Batch, receiver: StageReceiver | undefined): Promise<Float32Array>;
  release(): Promise<void>;
}

/** The head's forward and backward pass: logits, labels sampled from them, and the cotangents of the hidden states before the head. */
export class HeadPass implements EndPass {
  private readonly random: () => number;

  private constructor(
    private readonly runtime: Runtime,
    private readonly program: Program,
    seed: number,
    private readonly parts: Parts,
  ) {
    this.random = randomNumbers(seed);
  }

  /** Opens the graphs. @param seed of the sampled labels. */
  static async open(
    runtime: Runtime,
    program: Program,
    seed: number,
    signal?: AbortSignal,
  ): Promise<HeadPass> {
    const stage = headStage(program);
    const weights = await loadWeights(runtime, program, program.head.weights, signal);
    const forward = await runtime.session(program.head.graph.encode());
    const backward = await runtime.session(stage.graph.encode());
    return new HeadPass(runtime, program, seed, { stage, forward, backward, weights });
  }

  get stage(): Stage {
    return this.parts.stage;
  }

  skip({ rows }: Pick<Batch, 'rows'>): void {
    for (let row = 0; row < rows.length; row++) this.random();
  }

  /**
   * Processes one batch. @param hidden [positions, hidden].
   * @returns the cotangents of `hidden`: zero at positions that do not predict.
   */
  async batch(
    hidden: Float32Array,
    { rows }: Pick<Batch, 'rows'>,
    receiver: StageReceiver,
  ): Promise<Float32Array> {
    const { hiddenSize, vocabulary } = this.program.plan;
    const rowsAtOnce = Math.max(1, Math.floor(CHUNK_LOGITS / vocabulary));
    const cotangents = new Float32Array(hidden.length);
    const rowWeights = new Float64Array(vocabulary);
    for (let start = 0; start < rows.length; start += rowsAtOnce) {
      const chunk = rows.slice(start, start + rowsAtOnce);
      const states = new Float32Array(chunk.length * hiddenSize);
      for (const [i, row] of chunk.entries())
        states.set(hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize), i * hiddenSize);
      const found = await this.chunk(states, chunk.length, rowWeights, receiver);
      for (const [i, row] of chunk.entries())
        cotangents.set(found.subarray(i * hiddenSize, (i + 1) * hiddenSize), row * hiddenSize);
    }
    await receiver.addRows(rowWeights);
    return cotangents;
  }

  async release(): Promise<void> {
    await Promise.all([this.parts.forward.release(), this.parts.backward.release()]);
  }

  private async chunk(
    states: Float32Array,
    rows: number,
    rowWeights: Float64Array,
    receiver: StageReceiver,
  ): Promise<Float32Array> {
    const { runtime, program, parts } = this;
    const { hiddenSize, vocabulary, head } = program.plan;
    const given = { ...parts.weights, [BLOCK_INPUTS.hidden]: runtime.floats(states, [1, rows, hiddenSize]) };
    const { logits } = await parts.forward.run(given);
    const gradients = sampleGradients(floatsOf(logits), vocabulary, this.random, rowWeights, head);
    const cotangent = runtime.floats(gradients, [1, rows, vocabulary]);
    const values = await parts.backward.run({ ...given, [BACKWARD_NAMES.cotangent]: cotangent });
    await receiver.add(values);
    return floatsOf(values[BACKWARD_NAMES.cotangentOut]);
  }
}
