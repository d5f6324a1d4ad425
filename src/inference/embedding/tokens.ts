import { InputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { loadTokenizer, type TextTokenizer } from '../../tokenizer/tokenizer.js';
import type { EmbeddingProgram } from './program.js';
import { readSentenceSettings, type SentenceSettings } from './sentence-settings.js';

/** The tokens of a sentence, special ones included. */
export interface SentenceTokens {
  readonly tokens: readonly number[];
  /** Whether it had more tokens than the model takes, so that its end is left out. */
  readonly isCut: boolean;
}

/** Turns sentences into tokens as sentence-transformers does. */
export class SentenceTokenizer {
  /** Tokens of the prompt that are not pooled, if the model leaves prompts out. */
  readonly promptTokens: number;

  private constructor(
    private readonly tokenizer: TextTokenizer,
    private readonly settings: SentenceSettings,
    private readonly prompt: string,
    /** Maximum tokens of a sentence. */
    readonly maxTokens: number,
    includePrompt: boolean,
  ) {
    this.promptTokens = prompt && !includePrompt ? this.countPrompt() : 0;
  }

  /**
   * Loads the tokenizer and the settings of an embedding model.
   * @param prompt name of one of the model's prompts; by default the model's own choice.
   * @throws {InputError} when they are missing or malformed, and for a prompt that the model does not have.
   */
  static async load(
    { model, plan, modules }: Pick<EmbeddingProgram, 'model' | 'plan' | 'modules'>,
    prompt?: string,
  ): Promise<SentenceTokenizer> {
    const settings = await readSentenceSettings(model);
    const tokenizer = await loadTokenizer(model);
    const maxTokens = Math.min(settings.maxTokens ?? plan.context, plan.context);
    return new SentenceTokenizer(
      tokenizer,
      settings,
      promptOf(model, settings, prompt),
      maxTokens,
      modules.includePrompt,
    );
  }

  /** Returns a sentence's tokens; those of a sentence that is too long without its end. @throws {InputError} for a sentence without tokens. */
  encode(sentence: string): SentenceTokens {
    const { tokenizer, maxTokens } = this;
    const text = this.cased(this.prompt + sentence);
    const whole = tokenizer.encode(text, true);
    if (!whole.length) throw new InputError('a sentence has no tokens');
    if (whole.length <= maxTokens) return { tokens: whole, isCut: false };
    const plain = tokenizer.encode(text, false);
    const start = startOf(plain, whole);
    const content = plain.slice(0, maxTokens - (whole.length - plain.length));
    const tokens = [...whole.slice(0, start), ...content, ...whole.slice(start + plain.length)];
    return { tokens: tokens.slice(0, maxTokens), isCut: true };
  }

  /** Counts a prompt's tokens with the special ones before it. */
  private countPrompt(): number {
    const text = this.cased(this.prompt);
    const plain = this.tokenizer.encode(text, false);
    return startOf(plain, this.tokenizer.encode(text, true)) + plain.length;
  }

  private cased(text: string): string {
    return this.settings.lowerCase ? text.toLowerCase() : text;
  }
}

function promptOf(
  model: Model,
  { prompts, defaultPrompt }: SentenceSettings,
  asked: string | undefined,
): string {
  const name = asked ?? defaultPrompt;
  if (name === undefined) return '';
  if (Object.hasOwn(prompts, name)) return prompts[name]!;
  const known = Object.keys(prompts).join(', ') || 'none';
  throw new InputError(`no prompt ${JSON.stringify(name)}; the model has ${known}`, { file: model.id });
}

/** Returns where the plain tokens of a text start among those with special tokens around them. */
function startOf(plain: readonly number[], whole: readonly number[]): number {
  const most = whole.length - plain.length;
  for (let start = 0; start <= most; start++)
    if (plain.every((token, i) => whole[start + i] === token)) return start;
  return 0;
}
