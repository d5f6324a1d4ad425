import { BLOCK_INPUTS } from '../../architectures/attention.js';
import { sentenceGraph } from '../../architectures/forward.js';
import { embeddingSize } from '../../architectures/pooling.js';
import { normalNumbers } from '../../core/random.js';
import { loadWeights } from '../../inference/block-inputs.js';
import { type EmbeddingProgram, poolingFeeds } from '../../inference/embedding/program.js';
import type { Feeds, Runtime, Session } from '../../onnx/runtime.js';
import { addBackward, BACKWARD_NAMES } from './backward-graph.js';
import type { Batch } from './batches.js';
import type { EndPass } from './head-pass.js';

interface Settings {
  /** Seed of the random directions. */
  readonly seed: number;
  /** The first token that counts. */
  readonly first: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * The backward pass of sentences' embeddings, divided by their lengths, along a random direction for each sentence. Directions are normal,
 * with the identity as their covariance, so the mean square of a change along them is the squared distance of the embeddings, and half
 * of that is what their cosine loses. Its weights are those of norms and of other files, which have no statistics.
 */
export class EmbeddingPass implements EndPass {
  private readonly random: () => number;
  private readonly size: number;

  private constructor(
    private readonly runtime: Runtime,
    private readonly program: EmbeddingProgram,
    private readonly settings: Settings,
    private readonly session: Session,
    private readonly weights: Feeds,
  ) {
    this.random = normalNumbers(settings.seed);
    this.size = embeddingSize(program.modules, program.plan.hiddenSize);
  }

  static async open(runtime: Runtime, program: EmbeddingProgram, settings: Settings): Promise<EmbeddingPass> {
    const graph = sentenceGraph(program.plan, program.modules, true);
    addBackward(graph, { output: 'embedding', hidden: true });
    const weights = await loadWeights(runtime, program, program.sentences.weights, settings.signal);
    return new EmbeddingPass(runtime, program, settings, await runtime.session(graph.encode()), weights);
  }

  /** None: its weights have no statistics. */
  get stage(): undefined {
    return undefined;
  }

  skip({ tokens }: Pick<Batch, 'tokens'>): void {
    for (let i = 0; i < tokens.length * this.size; i++) this.random();
  }

  /** Processes sentences of one length. @param hidden [sentences x length, hidden]. @returns its cotangents. */
  async batch(
    hidden: Float32Array,
    { tokens, length }: Pick<Batch, 'tokens' | 'length'>,
  ): Promise<Float32Array> {
    const { runtime, program, settings, session, weights, size } = this;
    const shape = [tokens.length, length, program.plan.hiddenSize];
    const cotangents = new Float32Array(hidden.length);
    const directions = Float32Array.from({ length: tokens.length * size }, this.random);
    const feeds = {
      ...weights,
      ...poolingFeeds(runtime, program.modules, length, Math.min(settings.first, length - 1)),
      [BLOCK_INPUTS.hidden]: runtime.floats(hidden, shape),
      [BACKWARD_NAMES.cotangent]: runtime.floats(directions, [tokens.length, 1, size]),
    };
    await session.run(feeds, { [BACKWARD_NAMES.cotangentOut]: runtime.floats(cotangents, shape) });
    return cotangents;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
