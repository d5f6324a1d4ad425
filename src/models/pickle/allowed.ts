import { latin1Bytes } from './latin1.js';
import { NUMPY } from './numpy.js';
import { type Allowed, type Build, Complex, type PickleValue } from './values.js';

/** Names of Python itself that stand for data. */
const PYTHON: Readonly<Record<string, Build>> = {
  'builtins.complex': complex,
  '__builtin__.complex': complex,
  'collections.OrderedDict': ordered,
  'builtins.set': ([items]) => new Set(list(items)),
  '__builtin__.set': ([items]) => new Set(list(items)),
  'builtins.frozenset': ([items]) => new Set(list(items)),
  'builtins.bytearray': ([bytes]) => (bytes instanceof Uint8Array ? bytes : new Uint8Array(0)),
  '_codecs.encode': encoded,
};

/** What the pickle of plain numbers may ask for: Python's and NumPy's. */
export const PLAIN: Allowed = new Map(Object.entries({ ...PYTHON, ...NUMPY }));

function complex([real, imaginary = 0]: readonly PickleValue[]): PickleValue {
  if (typeof real !== 'number' || typeof imaginary !== 'number')
    throw new RangeError('complex() of something that is no number');
  return new Complex(real, imaginary);
}

/** A dict; old pickles give its pairs as a list. */
function ordered([pairs]: readonly PickleValue[]): PickleValue {
  const map = new Map<PickleValue, PickleValue>();
  for (const pair of list(pairs)) if (Array.isArray(pair) && pair.length === 2) map.set(pair[0]!, pair[1]!);
  return map;
}

/** How protocol 2 writes bytes: a string of characters below 256. */
function encoded([text, encoding]: readonly PickleValue[]): PickleValue {
  if (typeof text !== 'string' || !(encoding === 'latin1' || encoding === 'latin-1'))
    throw new RangeError('_codecs.encode of something else than latin1 text');
  return latin1Bytes(text);
}

function list(value: PickleValue | undefined): readonly PickleValue[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new RangeError('a collection of something that is no list');
  return value;
}
