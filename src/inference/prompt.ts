import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { type ChatMessage, chatTemplateOf, renderChat } from '../tokenizer/chat-template.js';
import { readTokenizerFiles } from '../tokenizer/files.js';
import { loadTokenizer, type TextTokenizer } from '../tokenizer/tokenizer.js';
import { endTokensOf } from './end-tokens.js';

/** What is continued: text, token ids, or the messages of a chat. */
export type Prompt = string | readonly number[] | readonly ChatMessage[];

/** A prompt as tokens. */
export interface Prepared {
  readonly tokens: readonly number[];
  /** Undefined for a prompt of token ids. */
  readonly tokenizer: TextTokenizer | undefined;
  /** Tokens that end the continuation. */
  readonly endTokens: readonly number[];
}

/**
 * Converts a prompt to tokens. Messages, and with `chat` a text, which is then what the user says, go through the model's chat template,
 * which writes special tokens itself: none is added.
 * @throws {InputError} for a model without tokenizer or chat template, and messages that the template refuses.
 */
export async function preparePrompt(model: Model, prompt: Prompt, chat: boolean): Promise<Prepared> {
  const endTokens = await endTokensOf(model);
  const messages = messagesOf(prompt, chat);
  if (messages) return prepareChat(model, messages, endTokens);
  if (typeof prompt !== 'string')
    return { tokens: prompt as readonly number[], tokenizer: undefined, endTokens };
  const tokenizer = await loadTokenizer(model);
  return { tokens: tokenizer.encode(prompt, true), tokenizer, endTokens };
}

function messagesOf(prompt: Prompt, chat: boolean): readonly ChatMessage[] | undefined {
  if (typeof prompt === 'string') return chat ? [{ role: 'user', content: prompt }] : undefined;
  if (typeof prompt[0] === 'object') return prompt as readonly ChatMessage[];
  if (chat) throw new InputError('expected a text or messages for a chat, found token ids');
  return undefined;
}

/** Returns whether a model has a chat template. @throws {InputError} when its files are malformed. */
export async function hasChat(model: Model): Promise<boolean> {
  const files = await readTokenizerFiles(model);
  return files !== undefined && (await chatTemplateOf(model, files.config)) !== undefined;
}

async function prepareChat(
  model: Model,
  messages: readonly ChatMessage[],
  endTokens: readonly number[],
): Promise<Prepared> {
  const tokenizer = await loadTokenizer(model);
  const { config } = (await readTokenizerFiles(model))!;
  const template = await chatTemplateOf(model, config);
  if (template === undefined)
    throw new InputError(
      'has no chat template: expected chat_template in tokenizer_config.json, or chat_template.jinja',
      { file: model.id },
    );
  const text = await renderChat(template, messages, config, model.id);
  const ends = [tokenizer.endToken, ...turnEnds(template, tokenizer)].filter((id) => id !== undefined);
  return { tokens: tokenizer.encode(text), tokenizer, endTokens: [...new Set([...endTokens, ...ends])] };
}

/** Tokens that end a turn, where the model's files do not say so: those of ChatML, Llama 3, Phi, Gemma and others. */
const TURN_ENDS = [
  '<|im_end|>',
  '<|eot_id|>',
  '<|end|>',
  '<end_of_turn>',
  '<turn|>',
  '<|end_of_turn|>',
  '<|eot|>',
];

/** Returns the ids of those that the template writes. */
function turnEnds(template: string, tokenizer: TextTokenizer): (number | undefined)[] {
  return TURN_ENDS.filter((token) => template.includes(token)).map((token) => tokenizer.idOf(token));
}
