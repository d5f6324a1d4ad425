import { Twister } from './twister.js';

/** Seeds that people choose. */
const SEEDS = 1024;
/** Numbers that are compared; three of them fix the range. */
const COMPARED = 16;
const TOLERANCE = 1e-5;

/** The first numbers that a well-known function draws from a generator. */
const DRAWS: Readonly<Record<string, (seed: number) => Float64Array>> = {
  'numpy.random.seed(S); uniform': (seed) => uniform(Twister.fromNumber(seed)),
  'numpy.random.seed(S); normal': (seed) => polarNormal(Twister.fromNumber(seed)),
  'random.seed(S); random': (seed) => uniform(Twister.fromWord(seed)),
  'torch.manual_seed(S); rand': (seed) => single(Twister.fromNumber(seed)),
};

function uniform(twister: Twister): Float64Array {
  return Float64Array.from({ length: COMPARED }, () => twister.double());
}

/** 24 bits of each word. */
function single(twister: Twister): Float64Array {
  return Float64Array.from({ length: COMPARED }, () => (twister.word() & 0xffffff) / 2 ** 24);
}

/** Marsaglia's polar method, two at a time, the second first, as NumPy's RandomState does. */
function polarNormal(twister: Twister): Float64Array {
  const values = new Float64Array(COMPARED);
  for (let i = 0; i < COMPARED; ) {
    const [x, y] = [2 * twister.double() - 1, 2 * twister.double() - 1];
    const square = x * x + y * y;
    if (square >= 1 || square === 0) continue;
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    values[i++] = factor * y;
    values[i++] = factor * x;
  }
  return values;
}

let known: { readonly name: string; readonly shape: Float64Array }[] | undefined;

/**
 * The generator and seed that numbers were drawn from, in any range or scale; undefined for numbers that were not, and for fewer than 16.
 * @returns such as `numpy.random.seed(42); normal`.
 */
export function findGenerator(values: Float64Array): string | undefined {
  if (values.length < COMPARED) return undefined;
  const shape = shapeOf(values);
  if (!shape) return undefined;
  known ??= Object.entries(DRAWS).flatMap(([name, draw]) =>
    Array.from({ length: SEEDS }, (_, seed) => ({
      name: name.replace('S', `${seed}`),
      shape: shapeOf(draw(seed))!,
    })),
  );
  return known.find((candidate) =>
    candidate.shape.every((value, i) => Math.abs(value - shape[i]!) < TOLERANCE),
  )?.name;
}

/** Numbers moved and scaled so that the first is 0 and the largest distance from it 1: range and scale do not matter. */
function shapeOf(values: Float64Array): Float64Array | undefined {
  const first = values[0]!;
  const moved = values.subarray(0, COMPARED).map((value) => value - first);
  const scale = moved.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  return scale === 0 || !Number.isFinite(scale) ? undefined : moved.map((value) => value / scale);
}
