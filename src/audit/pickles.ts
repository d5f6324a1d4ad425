import { InputError } from '../errors.js';
import { gunzip, isGzip } from '../formats/inflate.js';
import { PLAIN } from '../formats/pickle/allowed.js';
import { readPickle } from '../formats/pickle/machine.js';
import { NumpyArray } from '../formats/pickle/numpy.js';
import { Complex, type PickleValue } from '../formats/pickle/values.js';
import type { ByteSource } from '../io/source.js';
import type { Artefact, Numbers } from './artefact.js';

/** Pickles are held in memory whole. */
const MOST_BYTES = 2 ** 25;

/** True for the first bytes of a pickle (of protocol 2 or later, or an old one that begins with a collection), or of a gzip file. */
export function isPickle(prefix: Uint8Array): boolean {
  return isGzip(prefix) || prefix[0] === 0x80 || (prefix.length > 1 && OLD_BEGINNINGS.includes(prefix[0]!));
}

/** `(`, `]`, `}` and `c`. */
const OLD_BEGINNINGS = [0x28, 0x5d, 0x7d, 0x63];

/** Reads a pickle, gzipped or not. @throws {InputError} when it asks for more than data, naming it, or is too large or damaged. */
export async function openPickle(source: ByteSource): Promise<Artefact> {
  const { name: file, byteLength } = source;
  if (byteLength > MOST_BYTES)
    throw new InputError(`a pickle of ${byteLength} bytes is over the limit of ${MOST_BYTES}`, { file });
  const stored = await source.read(0, byteLength);
  const zipped = isGzip(stored);
  const bytes = zipped ? gunzip(stored, MOST_BYTES, file) : stored;
  const { value, end } = readPickle(bytes, { allowed: PLAIN, file });
  if (end !== bytes.length)
    throw new InputError(`${bytes.length - end} bytes follow the pickle`, { file, start: end });
  const walk = new Walk();
  walk.visit('', value);
  const kind = zipped ? 'gzipped pickle' : 'pickle';
  return { file, kind, fileBytes: byteLength, says: walk.says, numbers: walk.numbers, sampled: false };
}

/** Collects numbers and statements; what is reached twice counts once. */
class Walk {
  readonly says = new Map<string, number | string | boolean>();
  readonly numbers: Numbers[] = [];
  private readonly seen = new Set<PickleValue>();

  visit(path: string, value: PickleValue): void {
    if (typeof value === 'object' && value !== null) {
      if (this.seen.has(value)) return;
      this.seen.add(value);
    }
    const at = (key: PickleValue) => (path ? `${path}.${String(key)}` : String(key)).slice(0, LONGEST_PATH);
    if (value instanceof Map) for (const [key, item] of value) this.visit(at(key), item);
    else if (value instanceof NumpyArray) this.array(path, value);
    else if (Array.isArray(value)) this.list(path, value, at);
    else if (value instanceof Set) this.list(path, [...value], at);
    else if (value instanceof Complex) this.add(path, 'complex128', true, [value.real, value.imaginary]);
    else if (typeof value === 'bigint') this.says.set(path, Number(value));
    else if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean')
      this.says.set(path, value);
  }

  private list(path: string, items: readonly PickleValue[], at: (key: PickleValue) => string): void {
    const isComplex = items.length > 0 && items.every((item) => item instanceof Complex);
    const isReal = items.length > 1 && items.every((item) => typeof item === 'number');
    if (isComplex)
      this.add(
        path,
        'complex128',
        true,
        (items as Complex[]).flatMap(({ real, imaginary }) => [real, imaginary]),
      );
    else if (isReal) this.add(path, 'float64', false, items as number[]);
    else for (const [i, item] of items.entries()) this.visit(at(i), item);
  }

  private array(path: string, { dtype, bytes, shape }: NumpyArray): void {
    const read = NUMPY_KINDS[dtype.code];
    if (!read || dtype.byteOrder === '>') {
      this.says.set(path, `array [${shape}] of ${dtype.byteOrder}${dtype.code}`);
      return;
    }
    const copy = bytes.slice();
    this.add(path, read.kind, dtype.code.startsWith('c'), Array.from(read.view(copy.buffer)));
  }

  private add(name: string, kind: string, complex: boolean, values: readonly number[]): void {
    const count = complex ? values.length / 2 : values.length;
    this.numbers.push({ name, kind, complex, values: Float64Array.from(values), count });
  }
}

const LONGEST_PATH = 1000;

const NUMPY_KINDS: Readonly<
  Record<string, { kind: string; view: (buffer: ArrayBuffer) => ArrayLike<number> }>
> = {
  f8: { kind: 'float64', view: (buffer) => new Float64Array(buffer) },
  f4: { kind: 'float32', view: (buffer) => new Float32Array(buffer) },
  c16: { kind: 'complex128', view: (buffer) => new Float64Array(buffer) },
  c8: { kind: 'complex64', view: (buffer) => new Float32Array(buffer) },
  i4: { kind: 'int32', view: (buffer) => new Int32Array(buffer) },
  i2: { kind: 'int16', view: (buffer) => new Int16Array(buffer) },
  i1: { kind: 'int8', view: (buffer) => new Int8Array(buffer) },
  u1: { kind: 'uint8', view: (buffer) => new Uint8Array(buffer) },
};
