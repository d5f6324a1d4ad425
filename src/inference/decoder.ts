import { BLOCK_INPUTS } from '../architectures/attention.js';
import { isAttention } from '../architectures/settings.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import { BoundSessions } from '../onnx/bound-sessions.js';
import { type Feeds, floatsOf, type Runtime, type Tensor } from '../onnx/runtime.js';
import { loadWeights, positionFeeds, tokenFeeds } from './block-inputs.js';
import { LayerGraphs, openProgram, type Program, type Stage } from './program.js';

/** Tokens of a prompt per forward pass, which limits the memory of attention. */
const PREFILL_TOKENS = 512;

/**
 * A causal model that reads tokens and predicts the next one. Its weights, as float32, and the KV cache stay in memory, so that a token
 * costs one pass over the weights.
 */
export class Decoder {
  /** Number of tokens read. */
  length = 0;
  private caches: Feeds[];

  private constructor(
    private readonly runtime: Runtime,
    readonly program: Program,
    private readonly graphs: BoundSessions,
    private readonly run: {
      readonly embedding: Run;
      readonly layers: readonly Run[];
      readonly head: Run;
    },
  ) {
    this.caches = this.emptyCaches();
  }

  /**
   * Loads a model.
   * @throws {InputError} when it is not supported, or not causal.
   */
  static async load(runtime: Runtime, model: Model, options: LoadOptions = {}): Promise<Decoder> {
    const { signal, read } = options;
    const program = await openProgram(model, signal);
    checkCausal(program);
    const graphs = new BoundSessions(runtime);
    const layers = new LayerGraphs(program.plan, { cached: true });
    const stages = [
      program.embedding,
      ...program.layers.map((weights, layer) => ({ graph: layers.of(layer), weights })),
      program.head,
    ];
    const incoming = read?.(program);
    const known = new Map<string, Tensor | Promise<Tensor>>(incoming?.weights);
    const uses = countUses(stages);
    const tensors = sumOf(stages, ({ weights }) => weights.length);
    const meter = new Meter(options, 'loading', tensors, 'tensors');
    const add = async (stage: Stage): Promise<Run> => {
      const weights = await loadWeights(runtime, program, stage.weights, signal, known);
      const run = await graphs.add(stage.graph, weights);
      for (const { tensor } of stage.weights)
        if (uses.decrement(tensor.name) === 0) known.delete(tensor.name);
      meter.add(stage.weights.length);
      return run;
    };
    const adding: Promise<Run>[] = [];
    try {
      for (const stage of stages) {
        adding.push(add(stage));
        if (!incoming) await adding.at(-1);
      }
      const runs = await Promise.all(adding);
      await incoming?.finished;
      const [embedding, head] = [runs.shift()!, runs.pop()!];
      return new Decoder(runtime, program, graphs, { embedding, layers: runs, head });
    } catch (error) {
      await Promise.allSettled(adding);
      await graphs.release();
      throw error;
    }
  }

  /** Discards the tokens read and their KV cache. */
  reset(): void {
    this.length = 0;
    this.caches = this.emptyCaches();
  }

  /**
   * Reads tokens after those read before.
   * @returns the logits [vocabulary] of the next token, valid until the next call.
   * @throws {InputError} when they exceed the context.
   */
  async read(tokens: readonly number[]): Promise<Float32Array> {
    const { context } = this.program.plan;
    if (this.length + tokens.length > context)
      throw new InputError(`${this.length + tokens.length} tokens exceed the context of ${context}`, {
        file: this.program.model.id,
      });
    let hidden: Tensor | undefined;
    for (let start = 0; start < tokens.length; start += PREFILL_TOKENS)
      hidden = await this.pass(tokens.slice(start, start + PREFILL_TOKENS));
    return this.logitsOfLast(hidden!);
  }

  release(): Promise<void> {
    return this.graphs.release();
  }

  private emptyCaches(): Feeds[] {
    const { layers, hiddenSize } = this.program.plan;
    const zeros = (shape: readonly number[]) =>
      this.runtime.floats(new Float32Array(shape.reduce((product, length) => product * length, 1)), shape);
    return layers.map(({ mixer }): Feeds => {
      if (!isAttention(mixer)) return { [BLOCK_INPUTS.pastKeys]: zeros([1, mixer.taps - 1, hiddenSize]) };
      const { keyValueHeads, headSize, valueSize } = mixer;
      return {
        [BLOCK_INPUTS.pastKeys]: zeros([1, keyValueHeads, 1, 0, headSize]),
        [BLOCK_INPUTS.pastValues]: zeros([1, keyValueHeads, 1, 0, valueSize]),
      };
    });
  }

  private async pass(tokens: readonly number[]): Promise<Tensor> {
    const { runtime, program, run, length: start } = this;
    const end = start + tokens.length;
    const embedded = await run.embedding(tokenFeeds(runtime, program, [tokens], start));
    let hidden = embedded[BLOCK_INPUTS.hiddenOut]!;
    const positions = positionFeeds(runtime, program, start, end);
    for (const [layer, block] of run.layers.entries()) {
      const results = await block({
        ...positions(layer),
        ...this.caches[layer],
        [BLOCK_INPUTS.hidden]: hidden,
      });
      hidden = results[BLOCK_INPUTS.hiddenOut]!;
      const { keysOut, valuesOut, pastKeys, pastValues } = BLOCK_INPUTS;
      this.caches[layer] = {
        [pastKeys]: results[keysOut]!,
        ...(results[valuesOut] && { [pastValues]: results[valuesOut] }),
      };
    }
    this.length = end;
    return hidden;
  }

  private async logitsOfLast(hidden: Tensor): Promise<Float32Array> {
    const { hiddenSize } = this.program.plan;
    const last = this.runtime.floats(floatsOf(hidden).slice(-hiddenSize), [1, 1, hiddenSize]);
    const { logits } = await this.run.head({ [BLOCK_INPUTS.hidden]: last });
    return floatsOf(logits);
  }
}

type Run = (feeds: Feeds) => Promise<Feeds>;

/** Counts the remaining stages that use each tensor. */
function countUses(stages: readonly Stage[]) {
  const remaining = new Map<string, number>();
  for (const { weights } of stages)
    for (const { tensor } of weights) remaining.set(tensor.name, (remaining.get(tensor.name) ?? 0) + 1);
  return {
    decrement(name: string): number {
      remaining.set(name, remaining.get(name)! - 1);
      return remaining.get(name)!;
    },
  };
}

function checkCausal({ plan, model }: Program): void {
  if (plan.kind !== 'causal')
    throw new InputError('masked language models cannot continue text', { file: model.id });
}

/** Weights that arrive in any order, by name, and a promise of their completion. */
export interface IncomingWeights {
  readonly weights: ReadonlyMap<string, Promise<Tensor>>;
  readonly finished: Promise<void>;
}

export interface LoadOptions extends RunOptions {
  /** Begins to read the weights; without it they are read stage by stage. */
  readonly read?: ((program: Program) => IncomingWeights | undefined) | undefined;
}
