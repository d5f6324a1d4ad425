import type { Model } from '../core/model.js';
import type { RunOptions } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import { evaluate, generate } from '../evaluation/node/run.js';
import { buildProgram } from '../inference/program.js';
import type { HeldOut } from '../quantization/calibration/held-out.js';
import { type Attempt, relativeError } from './attempt.js';
import { Overlay } from './overlay.js';

export interface MeasureOptions extends Pick<RunOptions, 'signal'> {
  /** Text to measure on; by default the held-out text. */
  readonly text?: string | undefined;
  readonly heldOut: Extract<HeldOut, { readonly kind: 'tokens' }>;
  /** Number of tokens to measure on. */
  readonly tokens: number;
  readonly prompt: string;
}

const SENTENCE_TOKENS = 20;

/** Measures models: divergence, perplexity and generated text. */
export class Measure {
  private reference: number | undefined;

  constructor(
    private readonly model: Model,
    private readonly options: MeasureOptions,
  ) {}

  async attempt({ bytes, matrices }: Attempt) {
    const decoded = new Overlay(
      this.model,
      new Map(
        matrices.flatMap(({ matrix, decoded }) => matrix.names.map((name) => [name, decoded] as const)),
      ),
    );
    const { kl, perplexity, reference } = await evaluate(decoded, { ...this.source(), against: this.model });
    this.reference = reference!.perplexity;
    const roles = [...new Set(matrices.map(({ matrix }) => matrix.role))];
    return {
      bytes,
      relativeSquaredError: relativeError(matrices),
      klNats: kl!.mean,
      perplexity,
      sentence: await this.sentence(decoded),
      byRole: roles.map((role) => {
        const own = matrices.filter(({ matrix }) => matrix.role === role);
        return {
          role,
          bytes: sumOf(own, (matrix) => matrix.bytes),
          relativeSquaredError: relativeError(own),
        };
      }),
    };
  }

  async original() {
    this.reference ??= (await evaluate(this.model, this.source())).perplexity;
    return { perplexity: this.reference, sentence: await this.sentence(this.model) };
  }

  private source() {
    const { text, tokens: maxTokens, signal, heldOut } = this.options;
    if (text !== undefined) return { text, maxTokens, signal };
    const { tokens, window, maskToken } = heldOut;
    return { tokens, window, maskToken, maxTokens, signal };
  }

  /** Generates text with a causal model; undefined for masked models. */
  private async sentence(model: Model): Promise<string | undefined> {
    if (buildProgram(this.model).plan.kind === 'masked') return undefined;
    const { text } = await generate(model, this.options.prompt, {
      maxTokens: SENTENCE_TOKENS,
      signal: this.options.signal,
    });
    return `${this.options.prompt}${text?.replaceAll(/\s+/g, ' ')}`;
  }
}
