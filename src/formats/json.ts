import { InputError } from '../errors.js';

/** Deeper nesting than any header, index or directory has is refused. */
export const JSON_DEPTH_LIMIT = 32;

/** A parsed JSON object and its keys as written; `Object.keys` would put keys such as "10" first. */
export interface JsonObject {
  readonly value: Readonly<Record<string, unknown>>;
  readonly keys: readonly string[];
}

/**
 * Reads bytes that must be one JSON object in UTF-8, strictly: `JSON.parse` keeps the last of two equal keys
 * silently, which lets two readers of one file see two different things, so equal keys are refused at every level.
 * `file` and `start` (where the bytes lie in it) are for the message.
 * @throws {InputError}
 */
export function parseJsonObject(bytes: Uint8Array, file: string, start = 0): JsonObject {
  const place = { file, start, end: start + bytes.length };
  const text = decodeUtf8(bytes, file, start);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(`is not JSON (${(error as Error).message})`, place, { cause: error });
  }
  if (!isPlainObject(value)) throw new InputError(`expected a JSON object, found ${kindOf(value)}`, place);
  const problem = { duplicate: '', depth: 0 };
  const keys = scanKeys(text, problem);
  if (problem.depth > JSON_DEPTH_LIMIT)
    throw new InputError(`JSON is nested deeper than ${JSON_DEPTH_LIMIT} levels`, place);
  if (problem.duplicate)
    throw new InputError(`JSON key ${problem.duplicate} appears twice in an object`, place);
  return { value, keys };
}

/**
 * @throws {InputError} when the bytes are not UTF-8.
 */
export function decodeUtf8(bytes: Uint8Array, file: string, start = 0): string {
  try {
    // A byte order mark is kept, so that it fails as JSON like it does for other readers.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new InputError('is not UTF-8 text', { file, start, end: start + bytes.length }, { cause: error });
  }
}

/** True for what `{...}` in JSON becomes. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a JSON value is, in a word for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : value === undefined ? 'nothing' : `a ${typeof value}`;
}

/**
 * Walks the braces and strings of text known to be JSON. Returns the keys of the outermost object in order and
 * notes in `problem` the first key met twice, quoted, and the depth if it passes the limit.
 */
function scanKeys(text: string, problem: { duplicate: string; depth: number }): string[] {
  const outermost = new Set<string>();
  const open: (Set<string> | undefined)[] = []; // The keys of each open object; undefined for an array.
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{') open.push(open.length ? new Set() : outermost);
    else if (character === '[') open.push(undefined);
    else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      const end = stringEnd(text, at);
      const keys = open.at(-1);
      if (keys && nextToken(text, end) === ':') {
        const quoted = text.slice(at, end);
        const key = JSON.parse(quoted) as string;
        if (keys.has(key)) {
          problem.duplicate = quoted;
          break;
        }
        keys.add(key);
      }
      at = end - 1;
    }
    if (open.length > JSON_DEPTH_LIMIT) {
      problem.depth = open.length;
      break;
    }
  }
  return [...outermost];
}

/** Just past the quote that closes the string opened at `start`. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
}

function nextToken(text: string, at: number): string | undefined {
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return text[at];
}
