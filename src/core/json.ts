import { InputError, type Place } from './errors.js';
import { refusePointer } from './lfs-pointer.js';

/** A parsed config.json. */
export type Config = Readonly<Record<string, unknown>>;

/** Maximum nesting of headers, indexes and directories. */
export const JSON_DEPTH_LIMIT = 32;
/** Maximum number of objects, arrays and keys together: `[[],[],…` takes many times its own length once parsed. */
export const JSON_ITEMS_LIMIT = 10_000_000;

/** A parsed JSON object and its keys in file order; `Object.keys` would put keys such as "10" first. */
export interface JsonObject {
  readonly value: Readonly<Record<string, unknown>>;
  readonly keys: readonly string[];
}

/**
 * Parses one JSON object in UTF-8. Duplicate keys are refused at every level: `JSON.parse` keeps the last one, other readers the first.
 * @param file for messages. @param start offset of the bytes in the file, for messages.
 * @throws {InputError} when it is not a JSON object, has duplicate keys, or exceeds the limits.
 */
export function parseJsonObject(bytes: Uint8Array, file: string, start = 0): JsonObject {
  const place = { file, start, end: start + bytes.length };
  const text = decodeUtf8(bytes, file, start);
  try {
    const keys = scanKeys(text, place); // first, because JSON.parse has no limits
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
 * Decodes UTF-8 text. @throws {InputError} when the bytes are not valid UTF-8.
 */
export function decodeUtf8(bytes: Uint8Array, file: string, start = 0): string {
  try {
    // A byte order mark stays in the text, so that parsing fails as it does in other readers.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new InputError('is not UTF-8 text', { file, start, end: start + bytes.length }, { cause: error });
  }
}

/**
 * Parses a JSON object as Python's json module does: `NaN`, `Infinity` and a byte order mark are allowed, and the last of duplicate keys
 * counts. Meant for a model's configuration, not for headers that locate bytes.
 * @throws {InputError} when it is not a JSON object.
 */
export function parsePythonJson(bytes: Uint8Array, file: string): Record<string, unknown> {
  const text = new TextDecoder().decode(bytes); // removes a byte order mark
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

/** Matches strings, which stay unchanged, and Python's names of floats that JSON cannot represent. */
const NOT_NUMBERS = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/gs;
/** JSON numbers that overflow to infinity, and null for NaN. */
const NUMBERS: Readonly<Record<string, string>> = { Infinity: '1e999', '-Infinity': '-1e999', NaN: 'null' };

/** Returns whether a value is a parsed JSON object. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the kind of a JSON value, for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : value === undefined ? 'nothing' : `a ${typeof value}`;
}

/** Formats a JSON value for messages, shortened to 80 characters. */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(Array.isArray(value) ? value.slice(0, 41) : value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/**
 * Scans braces and strings of text that may be JSON and returns the keys of the outermost object, in order.
 * @throws {InputError} on duplicate keys, too deep nesting or too many items.
 */
function scanKeys(text: string, place: Place): string[] {
  const outermost = new Set<string>();
  const open: (Set<string> | undefined)[] = []; // keys of each open object; undefined for an array
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
        if (keys.has(key)) throw new InputError(`duplicate JSON key ${quote(key)}`, place);
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

/** Returns the index after the quote that closes the string opened at `start`, or the text's length if none does. */
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
