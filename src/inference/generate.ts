import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { randomNumbers } from '../core/random.js';
import type { Runtime } from '../onnx/runtime.js';
import { TextStream } from '../tokenizer/text-stream.js';
import { Decoder } from './decoder.js';
import { type Prompt, preparePrompt } from './prompt.js';
import { checkSampling, type Sampling, sample } from './sampling.js';

/** How a prompt is continued. */
export interface GenerateOptions extends Omit<Sampling, 'temperature'>, RunOptions {
  /** 0 chooses the most probable token, 1 draws by the model's probabilities, more draws less probable ones. By default 0; with `topK` or `topP` 1. */
  readonly temperature?: number | undefined;
  /** Tokens to generate, by default 100; fewer when the context is full or the model ends its text. */
  readonly maxTokens?: number | undefined;
  /** Seed of the random numbers; 0 by default. */
  readonly seed?: number | undefined;
  /** Whether a text is what the user says in a chat, and goes through the model's chat template, as messages always do. */
  readonly chat?: boolean | undefined;
  /** Tokens that end the text; by default the `eos_token_id` of generation_config.json and config.json, and in a chat those that end a turn. */
  readonly endTokens?: readonly number[] | undefined;
  /** Is called with every token and the text that it completes: empty within a character, and for prompts of ids. */
  readonly onToken?: ((token: number, text: string) => void) | undefined;
}

/** How a prompt was continued. */
export interface Generation {
  /** The path, address or name that the model was opened by. */
  readonly model: string;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** The generated token ids, without the one that ended the text. */
  readonly tokens: readonly number[];
  /** Their text; undefined for a prompt of token ids. */
  readonly text: string | undefined;
  /** Why generation stopped: the token limit, an end token, or the context length. */
  readonly stopped: 'length' | 'end' | 'context';
  /** Seconds to read the prompt. */
  readonly promptSeconds: number;
  /** Seconds from then to the last token. */
  readonly tokenSeconds: number;
}

/**
 * Continues a prompt, given as text, token ids, or messages of a chat.
 * @throws {InputError} for an unsupported model, a chat with a model that has no chat template, settings out of range, and a prompt that is empty or too long.
 */
export async function generateWith(
  runtime: Runtime,
  model: Model,
  prompt: Prompt,
  options: GenerateOptions = {},
): Promise<Generation> {
  const prepared = await prepare(model, prompt, options);
  const decoder = await Decoder.load(runtime, model, options);
  try {
    return await continuePrepared(decoder, prepared);
  } finally {
    await decoder.release();
  }
}

/** Continues a prompt with a loaded model, after resetting it. @throws {InputError} as {@link generateWith}. */
export async function continueWith(
  decoder: Decoder,
  prompt: Prompt,
  options: GenerateOptions = {},
): Promise<Generation> {
  const prepared = await prepare(decoder.program.model, prompt, options);
  decoder.reset();
  return continuePrepared(decoder, prepared);
}

/** Checks a prompt and its settings before weights are read. @throws {InputError} */
async function prepare(model: Model, prompt: Prompt, options: GenerateOptions) {
  const { maxTokens = 100, topK, topP, seed = 0 } = options;
  const temperature = options.temperature ?? (topK === undefined && topP === undefined ? 0 : 1);
  const sampling: Sampling = { temperature, topK, topP };
  checkSampling(sampling);
  if (!(Number.isInteger(maxTokens) && maxTokens >= 1))
    throw new InputError(`expected a positive number of tokens, found ${maxTokens}`);
  const { tokens, tokenizer, endTokens } = await preparePrompt(model, prompt, options.chat ?? false);
  if (!tokens.length) throw new InputError('the prompt is empty');
  const stream = tokenizer && new TextStream(tokenizer, tokens);
  const random = randomNumbers(seed);
  const choose = (logits: Float32Array) => sample(logits, sampling, random);
  const continuing = { ...options, maxTokens, endTokens: options.endTokens ?? endTokens, stream };
  return { tokens, choose, continuing };
}

async function continuePrepared(
  decoder: Decoder,
  { tokens, choose, continuing }: Awaited<ReturnType<typeof prepare>>,
): Promise<Generation> {
  checkPrompt(tokens, decoder);
  const continued = await continueTokens(decoder, tokens, choose, continuing);
  return { model: decoder.program.model.id, promptTokens: tokens.length, ...continued };
}

interface Continuing extends RunOptions {
  readonly maxTokens: number;
  readonly endTokens: readonly number[];
  readonly stream: TextStream | undefined;
  readonly onToken?: GenerateOptions['onToken'];
}

async function continueTokens(
  decoder: Decoder,
  prompt: readonly number[],
  choose: (logits: Float32Array) => number,
  options: Continuing,
) {
  const { maxTokens, endTokens, stream, onToken } = options;
  const meter = new Meter(options, 'generating', maxTokens, 'tokens');
  const { plan } = decoder.program;
  const tokens: number[] = [];
  let text = '';
  let stopped: Generation['stopped'] = 'length';
  const started = performance.now();
  let logits = await decoder.read(prompt);
  const promptRead = performance.now();
  for (;;) {
    meter.reach(tokens.length);
    const token = choose(logits);
    if (endTokens.includes(token)) {
      stopped = 'end';
      break;
    }
    tokens.push(token);
    const added = stream?.push(token) ?? '';
    text += added;
    onToken?.(token, added);
    if (tokens.length === maxTokens) break;
    if (decoder.length === plan.context) {
      stopped = 'context';
      break;
    }
    logits = await decoder.read([token]);
  }
  text += stream?.finish() ?? '';
  return {
    tokens,
    text: stream && text,
    stopped,
    promptSeconds: (promptRead - started) / 1000,
    tokenSeconds: (performance.now() - promptRead) / 1000,
  };
}

function checkPrompt(tokens: readonly number[], { program }: Decoder): void {
  const { vocabulary } = program.plan;
  const wrong = tokens.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocabulary));
  if (wrong !== undefined)
    throw new InputError(`expected token ids below ${vocabulary}, found ${wrong} in the prompt`);
}
