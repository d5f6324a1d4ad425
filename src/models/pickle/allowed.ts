import { latin1Bytes } from './latin1.js';
import { NUMPY } from './numpy.js';
import { type Allowed, type Build, Complex, type PickleValue } from './values.js';

/** Python's own classes and functions that represent data. */
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

/** Allowed names in pickles of plain data: Python's and NumPy's. */
export const PLAIN: Allowed = new Map(Object.entries({ ...PYTHON, ...NUMPY }));

function complex([real, imaginary = 0]: readonly PickleValue[]): PickleValue {
  if (typeof real !== 'number' || typeof imaginary !== 'number')
    throw new RangeError('complex(): expected numbers');
  return new Complex(real, imaginary);
}

/** Builds an ordered dict from a list of pairs, as in old pickles. */
function ordered([pairs]: readonly PickleValue[]): PickleValue {
  const map = new Map<PickleValue, PickleValue>();
  for (const pair of list(pairs)) if (Array.isArray(pair) && pair.length === 2) map.set(pair[0]!, pair[1]!);
  return map;
}

/** Decodes bytes as protocol 2 writes them: a string of characters below 256. */
function encoded([text, encoding]: readonly PickleValue[]): PickleValue {
  if (typeof text !== 'string' || !(encoding === 'latin1' || encoding === 'latin-1'))
    throw new RangeError('_codecs.encode: expected latin1 text');
  return latin1Bytes(text);
}

function list(value: PickleValue | undefined): readonly PickleValue[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new RangeError('a collection: expected a list of its items');
  return value;
}
