import { InputError } from '../errors.js';
import type { Model } from '../formats/model.js';
import { BLOCK_PORTS } from './attention.js';
import { loadWeights, positionFeeds, tokenFeeds } from './ports.js';
import { type Binding, blockGraph, buildProgram, type Program } from './program.js';
import { type Feeds, floatsOf, type Runtime, type Session, type Tensor } from './runtime.js';

/** Tokens of a prompt that pass at once, so that attention over a long one takes little memory. */
const PREFILL_TOKENS = 512;

/**
 * A causal model that reads tokens and says what may come next. All weights stay in memory, as float32, and so
 * do keys and values of the tokens read, so that a token costs one pass over the weights.
 */
export class Decoder {
  /** How many tokens have been read. */
  length = 0;
  private caches: Feeds[];

  private constructor(
    private readonly runtime: Runtime,
    readonly program: Program,
    private readonly sessions: Sessions,
    private readonly weights: {
      readonly embedding: Feeds;
      readonly layers: readonly Feeds[];
      readonly head: Feeds;
    },
  ) {
    this.caches = this.emptyCaches();
  }

  /**
   * Reads all weights of a model, but those that are known.
   * @throws {InputError} when it cannot be run, or is not causal.
   */
  static async load(
    runtime: Runtime,
    model: Model,
    { onProgress, signal, read }: LoadOptions = {},
  ): Promise<Decoder> {
    const program = buildProgram(model);
    checkCausal(program);
    const sessions = {
      embedding: await runtime.session(program.embedding.graph.encode()),
      block: await runtime.session(blockGraph(program, { cached: true }).encode()),
      head: await runtime.session(program.head.graph.encode()),
    };
    try {
      const known = new Map(await read?.(program));
      const load = (weights: readonly Binding[]) => loadWeights(runtime, program, weights, signal, known);
      const embedding = await load(program.embedding.weights);
      const layers: Feeds[] = [];
      for (const layer of program.layers) {
        layers.push(await load(layer));
        onProgress?.(layers.length, program.layers.length);
      }
      return new Decoder(runtime, program, sessions, {
        embedding,
        layers,
        head: await load(program.head.weights),
      });
    } catch (error) {
      await releaseAll(sessions);
      throw error;
    }
  }

  /** Forgets the tokens that were read. */
  reset(): void {
    this.length = 0;
    this.caches = this.emptyCaches();
  }

  /**
   * Reads tokens that follow those read before.
   * @returns the logits [vocabulary] of the token after the last; valid until the next call.
   * @throws {InputError} when they no longer fit into the context.
   */
  async read(tokens: readonly number[]): Promise<Float32Array> {
    const { context } = this.program.plan;
    if (this.length + tokens.length > context)
      throw new InputError(
        `${this.length + tokens.length} tokens do not fit into the context of ${context}`,
        {
          file: this.program.model.id,
        },
      );
    let hidden: Tensor | undefined;
    for (let start = 0; start < tokens.length; start += PREFILL_TOKENS)
      hidden = await this.pass(tokens.slice(start, start + PREFILL_TOKENS));
    return this.logitsOfLast(hidden!);
  }

  release(): Promise<void> {
    return releaseAll(this.sessions);
  }

  private emptyCaches(): Feeds[] {
    const { keyValueHeads, headSize } = this.program.size;
    const none = () => this.runtime.floats(new Float32Array(0), [1, keyValueHeads, 1, 0, headSize]);
    return this.weights.layers.map(() => ({
      [BLOCK_PORTS.pastKeys]: none(),
      [BLOCK_PORTS.pastValues]: none(),
    }));
  }

  private async pass(tokens: readonly number[]): Promise<Tensor> {
    const { runtime, program, sessions, weights, length: start } = this;
    const end = start + tokens.length;
    const embedded = await sessions.embedding.run({
      ...weights.embedding,
      ...tokenFeeds(runtime, program, [tokens], start),
    });
    let hidden = embedded[BLOCK_PORTS.hiddenOut]!;
    const positions = positionFeeds(runtime, program, start, end);
    for (const [layer, layerWeights] of weights.layers.entries()) {
      const given = { ...positions(layer), ...this.caches[layer], [BLOCK_PORTS.hidden]: hidden };
      const results = await sessions.block.run({ ...layerWeights, ...given });
      hidden = results[BLOCK_PORTS.hiddenOut]!;
      this.caches[layer] = {
        [BLOCK_PORTS.pastKeys]: results[BLOCK_PORTS.keysOut]!,
        [BLOCK_PORTS.pastValues]: results[BLOCK_PORTS.valuesOut]!,
      };
    }
    this.length = end;
    return hidden;
  }

  private async logitsOfLast(hidden: Tensor): Promise<Float32Array> {
    const { hiddenSize } = this.program.size;
    const last = this.runtime.floats(floatsOf(hidden).slice(-hiddenSize), [1, 1, hiddenSize]);
    const { logits } = await this.sessions.head.run({ ...this.weights.head, [BLOCK_PORTS.hidden]: last });
    return floatsOf(logits);
  }
}

type Sessions = Readonly<Record<'embedding' | 'block' | 'head', Session>>;

async function releaseAll(sessions: Sessions): Promise<void> {
  await Promise.all(Object.values(sessions).map((session) => session.release()));
}

function checkCausal({ plan, model }: Program): void {
  if (plan.kind !== 'causal')
    throw new InputError('a masked language model fills gaps and does not continue text', { file: model.id });
}

export interface LoadOptions {
  /** Hears of layers read and all layers. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Reads weights in an order of its own, by name; those that it leaves out are read one by one. */
  readonly read?: ((program: Program) => Promise<ReadonlyMap<string, Tensor>>) | undefined;
}
