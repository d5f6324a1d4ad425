import { InputError } from '../core/errors.js';
import { type Config, isPlainObject, parseJsonObject, quote } from '../core/json.js';
import type { Model } from '../core/model.js';
import { readSideFile } from '../core/side-file.js';
import { contentOf } from './byte-level-bpe.js';
import { withDeadline } from './deadline.js';

/** A message of a chat, as in transformers. */
export interface ChatMessage {
  /** Who says it: `system`, `user` or `assistant`, and what else the model's template knows. */
  readonly role: string;
  /** What is said. */
  readonly content: string;
}

/** Names of files that hold a template; in the order that transformers reads them, before tokenizer_config.json. */
const JINJA = 'chat_template.jinja';
const JSON_FILE = 'chat_template.json';

/**
 * Returns a model's chat template, in Jinja; undefined if it has none. Of several named ones it is `default`.
 * @param config tokenizer_config.json.
 * @throws {InputError} when its file is malformed.
 */
export async function chatTemplateOf(model: Model, config: Config): Promise<string | undefined> {
  const jinja = await readSideFile(model, JINJA);
  if (jinja) return new TextDecoder().decode(jinja);
  const json = await readSideFile(model, JSON_FILE);
  const inFile = json && parseJsonObject(json, `${model.id}, ${JSON_FILE}`).value.chat_template;
  return templateIn(inFile) ?? templateIn(config.chat_template);
}

function templateIn(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const named = (Array.isArray(value) ? value : []).find(
    (entry) => isPlainObject(entry) && entry.name === 'default',
  );
  return typeof named?.template === 'string' ? named.template : undefined;
}

/** Limits of a template and of what it makes. */
const MAX_TEMPLATE_LENGTH = 2 ** 20;
const MAX_TEXT_LENGTH = 2 ** 26;
const MAX_RANGE = 100_000;

/**
 * Returns the text that a chat template makes of messages, up to where the model answers. The template is code that came with the model:
 * it has no access to anything but the messages, and a time limit.
 * @throws {InputError} when the template fails, refuses the messages, or takes too long.
 */
export async function renderChat(
  template: string,
  messages: readonly ChatMessage[],
  config: Config,
  file: string,
): Promise<string> {
  checkMessages(messages);
  const fail = (what: string, cause?: unknown): never => {
    throw new InputError(`chat template: ${what}`, { file }, { cause });
  };
  if (template.length > MAX_TEMPLATE_LENGTH)
    fail(`${template.length} characters, over the limit of ${MAX_TEMPLATE_LENGTH}`);
  const { Template } = await import('@huggingface/jinja');
  const variables = { ...specialTokens(config), ...GIVEN, messages };
  const render = () => {
    try {
      return new Template(LIMITS + template).render(variables);
    } catch (error) {
      return fail(firstLine(error), error);
    }
  };
  const timeout = (seconds: number) => new InputError(`chat template: took over ${seconds} s`, { file });
  const text: unknown = withDeadline(template.length, render, timeout);
  if (typeof text !== 'string' || text.length > MAX_TEXT_LENGTH)
    return fail(`made no text, or more than ${MAX_TEXT_LENGTH} characters`);
  return text;
}

/** Replaces the library's `range`, which fills the memory; the empty text keeps a line break that the template begins with. */
const LIMITS = "{% set range = limited_range %}{{ '' }}";

/** Variables of every template, as transformers sets them. */
const GIVEN = {
  add_generation_prompt: true,
  tools: null,
  documents: null,
  limited_range: (...bounds: unknown[]) => rangeOf(bounds.filter((bound) => typeof bound === 'number')),
};

/** Returns integers as Python's range does, but no more than would fill the memory. */
function rangeOf([first = 0, second, step = 1]: number[]): number[] {
  const [start, end] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((end - start) / step));
  if (!(length <= MAX_RANGE)) throw new Error(`range of ${length}, over the limit of ${MAX_RANGE}`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** Returns the texts of `bos_token` and the others of tokenizer_config.json. */
function specialTokens(config: Config): Record<string, string> {
  const entries = Object.keys(config)
    .filter((key) => key.endsWith('_token'))
    .map((key) => [key, contentOf(config[key])] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

function checkMessages(messages: readonly ChatMessage[]): void {
  if (!messages.length) throw new InputError('expected at least one message');
  for (const message of messages)
    if (typeof message?.role !== 'string' || typeof message.content !== 'string')
      throw new InputError(`expected messages with a role and content, found ${quote(message)}`);
}

const firstLine = (error: unknown): string => String((error as Error).message).split('\n')[0]!;
