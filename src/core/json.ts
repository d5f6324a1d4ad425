import { InputError, type Place } from './errors.js';
import { refusePointer } from './lfs-pointer.js';

/** Deeper nesting than any header, index or directory has is refused. */
export const JSON_DEPTH_LIMIT = 32;
/** More objects, arrays and keys together are refused: `[[],[],…` takes many times its own length once parsed. */
export const JSON_ITEMS_LIMIT = 10_000_000;

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
  try {
    const keys = scanKeys(text, place); // Before parsing, for parsing has no limits.
    const value: unknown = JSON.parse(text);
    if (!isPlainObject(value)) throw new InputError(`expected a JSON object, found ${kindOf(value)}`, place);
    return { value, keys };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    refusePointer(bytes, file);
    throw new InputError(`is not JSON (${error.message})`, place, { cause: error });
  }
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

/**
 * Parses a JSON object as Python writes and reads it: with `NaN`, `Infinity` and a byte order mark; of a key written twice the last
 * counts. For what a model is configured by, not for what says where bytes lie.
 * @throws {InputError} unless it is a JSON object.
 */
export function parsePythonJson(bytes: Uint8Array, file: string): Record<string, unknown> {
  const text = new TextDecoder().decode(bytes); // drops a byte order mark
  let value: unknown;
  try {
    value = JSON.parse(text.replace(NOT_NUMBERS, (literal) => NUMBERS[literal] ?? literal));
  } catch (error) {
    refusePointer(bytes, file);
    throw new InputError(`is not JSON (${(error as Error).message})`, { file }, { cause: error });
  }
  if (!isPlainObject(value)) throw new InputError(`expected a JSON object, found ${kindOf(value)}`, { file });
  return value;
}

/** Strings, which stay what they are, and what Python writes of floats that JSON has no word for. */
const NOT_NUMBERS = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/gs;
/** JSON's grammar has numbers that overflow to infinities; of NaN only nothing is left. */
const NUMBERS: Readonly<Record<string, string>> = { Infinity: '1e999', '-Infinity': '-1e999', NaN: 'null' };

/** True for what `{...}` in JSON becomes. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a JSON value is, in a word for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : value === undefined ? 'nothing' : `a ${typeof value}`;
}

/** A JSON value for messages, cut where it gets long: files may hold anything. */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(Array.isArray(value) ? value.slice(0, 41) : value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/**
 * Walks the braces and strings of what may be JSON and returns the keys of the outermost object, in order.
 * @throws {InputError} for a key twice in an object, too deep nesting, too many items.
 */
function scanKeys(text: string, place: Place): string[] {
  const outermost = new Set<string>();
  const open: (Set<string> | undefined)[] = []; // The keys of each open object; undefined for an array.
  let items = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{' || character === '[') {
      open.push(character === '[' ? undefined : open.length ? new Set() : outermost);
      items++;
    } else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      const end = stringEnd(text, at);
      const keys = open.at(-1);
      if (keys && nextToken(text, end) === ':') {
        const quoted = text.slice(at, end);
        const key = JSON.parse(quoted) as string;
        if (keys.has(key)) throw new InputError(`JSON key ${quote(key)} appears twice in an object`, place);
        keys.add(key);
        items++;
      }
      at = end - 1;
    }
    if (open.length > JSON_DEPTH_LIMIT)
      throw new InputError(`JSON is nested deeper than ${JSON_DEPTH_LIMIT} levels`, place);
    if (items > JSON_ITEMS_LIMIT)
      throw new InputError(`JSON has over ${JSON_ITEMS_LIMIT} objects, arrays and keys`, place);
  }
  return [...outermost];
}

/** Just past the quote that closes the string opened at `start`, or past the text if none does. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

function nextToken(text: string, at: number): string | undefined {
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return text[at];
}
