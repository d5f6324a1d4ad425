import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import { gunzip, isGzip } from '../models/gzip.js';
import { PLAIN } from '../models/pickle/allowed.js';
import { readPickle } from '../models/pickle/machine.js';
import { NumpyArray } from '../models/pickle/numpy.js';
import type { PickleValue } from '../models/pickle/values.js';
import type { Artifact, Numbers } from './artifact.js';
import { MIN_NUMBERS } from './closed-form.js';
import { arrayOf, type NumberList, numbersOf, scalarOf } from './pickle-numbers.js';

/** Maximum size of a pickle, which is read into memory. */
const MAX_BYTES = 2 ** 25;

/** Returns whether the first bytes of a file are those of gzip or of a pickle: protocol 2 or later, or an older one of a collection. */
export function isPickle(prefix: Uint8Array): boolean {
  return isGzip(prefix) || prefix[0] === 0x80 || (prefix.length > 1 && OLD_FIRST_BYTES.includes(prefix[0]!));
}

/** `(`, `]`, `}` and `c`. */
const OLD_FIRST_BYTES = [0x28, 0x5d, 0x7d, 0x63];

/** Reads a pickle, gzipped or not. @throws {InputError} when it is not plain data, is too large, or is damaged. */
export async function openPickle(source: ByteSource): Promise<Artifact> {
  const { name: file, byteLength } = source;
  if (byteLength > MAX_BYTES)
    throw new InputError(`${byteLength} bytes, over the limit of ${MAX_BYTES} for a pickle`, { file });
  const stored = await source.read(0, byteLength);
  const zipped = isGzip(stored);
  const bytes = zipped ? gunzip(stored, MAX_BYTES, file) : stored;
  const { value, end } = readPickle(bytes, { allowed: PLAIN, file });
  if (end !== bytes.length)
    throw new InputError(`${bytes.length - end} bytes follow the pickle`, { file, start: end });
  const walk = new Walk(file);
  walk.visit('', value);
  const kind = zipped ? 'gzipped pickle' : 'pickle';
  return {
    file,
    kind,
    fileBytes: byteLength,
    metadata: walk.metadata,
    numbers: walk.numbers,
    sampled: false,
  };
}

/** Collects numbers and metadata; a value that is reached twice counts once. */
class Walk {
  readonly metadata = new Map<string, number | string | boolean>();
  readonly numbers: Numbers[] = [];
  private readonly seen = new Set<PickleValue>();
  private depth = 0;

  constructor(private readonly file: string) {}

  /** Visits a value. @throws {InputError} when values are nested too deep. */
  visit(path: string, value: PickleValue): void {
    if (typeof value === 'object' && value !== null) {
      if (this.seen.has(value)) return;
      this.seen.add(value);
    }
    if (++this.depth > MAX_DEPTH)
      throw new InputError(`values are nested deeper than ${MAX_DEPTH} levels`, { file: this.file });
    this.collect(path, value);
    this.depth--;
  }

  private collect(path: string, value: PickleValue): void {
    const scalar = scalarOf(value);
    if (value instanceof Map) this.dictionary(path, value);
    else if (Array.isArray(value)) this.list(path, value);
    else if (value instanceof Set) this.list(path, [...value]);
    else if (scalar && !scalar.complex) this.metadata.set(path, scalar.values[0]!);
    else if (scalar) this.add(path, scalar);
    else if (value instanceof NumpyArray) this.array(path, value);
    else if (typeof value === 'string' || typeof value === 'boolean') this.metadata.set(path, value);
  }

  /** Collects a dict: one from numbers to numbers is a sparse list, any other an object. */
  private dictionary(path: string, value: Map<PickleValue, PickleValue>): void {
    const keys = value.size >= MIN_NUMBERS ? numbersOf([...value.keys()]) : undefined;
    const items = keys && numbersOf([...value.values()]);
    if (!items) for (const [key, item] of value) this.visit(member(path, key), item);
    else {
      this.add(member(path, 'keys'), keys);
      this.add(member(path, 'values'), items);
    }
  }

  private list(path: string, items: readonly PickleValue[]): void {
    const numbers = numbersOf(items);
    if (numbers && (numbers.complex || items.length > 1)) this.add(path, numbers);
    else for (const [i, item] of items.entries()) this.visit(member(path, i), item);
  }

  private array(path: string, array: NumpyArray): void {
    const numbers = arrayOf(array);
    if (numbers) this.add(path, numbers);
    else this.metadata.set(path, `array [${array.shape}] of ${array.dtype.byteOrder}${array.dtype.code}`);
  }

  private add(name: string, list: NumberList): void {
    this.numbers.push({ name, ...list, count: list.values.length / (list.complex ? 2 : 1) });
  }
}

const MAX_PATH_LENGTH = 1000;
const MAX_DEPTH = 1000;

/** Returns the path of a member. Keys that are objects are named by their class, since they may be nested without limit. */
function member(path: string, key: PickleValue): string {
  const name = typeof key === 'object' && key !== null ? `(${key.constructor.name})` : String(key);
  return (path ? `${path}.${name}` : name).slice(0, MAX_PATH_LENGTH);
}
