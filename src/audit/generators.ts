import { Twister } from './twister.js';

/** Number of seeds that are tried, from 0. */
const SEEDS = 1024;
/** Number of values compared. */
const COMPARED = 16;
const TOLERANCE = 1e-5;

/** First numbers of common generators with a seed. */
const DRAWS: Readonly<Record<string, (seed: number) => Float64Array>> = {
  'numpy.random.seed(S); uniform': (seed) => uniform(Twister.fromNumber(seed)),
  'numpy.random.seed(S); normal': (seed) => polarNormal(Twister.fromNumber(seed)),
  'random.seed(S); random': (seed) => uniform(Twister.fromWord(seed)),
  'torch.manual_seed(S); rand': (seed) => single(Twister.fromNumber(seed)),
};

function uniform(twister: Twister): Float64Array {
  return Float64Array.from({ length: COMPARED }, () => twister.double());
}

/** Draws uniform float32 numbers from 24 bits of each word. */
function single(twister: Twister): Float64Array {
  return Float64Array.from({ length: COMPARED }, () => (twister.word() & 0xffffff) / 2 ** 24);
}

/** Draws normal numbers by Marsaglia's polar method, in the order of NumPy's RandomState. */
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
 * Finds the generator and seed of random numbers in any range or scale.
 * @returns for example `numpy.random.seed(42); normal`; undefined if none matches, or there are fewer than 16 numbers.
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

/** Shifts and scales numbers so that the first is 0 and the largest distance from it 1. */
function shapeOf(values: Float64Array): Float64Array | undefined {
  const first = values[0]!;
  const moved = values.subarray(0, COMPARED).map((value) => value - first);
  const scale = moved.reduce((max, value) => (Math.abs(value) > Math.abs(max) ? value : max), 0);
  return scale === 0 || !Number.isFinite(scale) ? undefined : moved.map((value) => value / scale);
}
