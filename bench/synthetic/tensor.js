// Draws a tensor of any size that looks like a trained one of its role, a few rows at a time.
import { quantiles, Random } from './random.js';
import { roleOf } from './roles.js';

const CHUNK_VALUES = 2 ** 20;

/**
 * Factors of one bf16 rounding interval around 1. Vectors have no scales whose product would fill their low mantissa
 * bits, so without it vectors drawn from a bf16 model would be numbers of 8 bits, with many the same.
 */
const ROUNDING = quantiles([1 - 2 ** -9, 1 + 2 ** -9]);

/**
 * The values of one tensor, row-major, in chunks of whole rows.
 * A chunk's memory is used again for the next.
 * @param {{ name: string, shape: number[] }} tensor
 * @param {{ trained: ReturnType<typeof import('./trained.js').profilesOf>, seed: number, layers: number, conv1d: boolean }} model
 * @returns {AsyncGenerator<Float32Array>}
 */
export async function* drawTensor({ name, shape }, { trained, seed, layers, conv1d }) {
  const random = new Random(`${seed}/${name}`);
  const { sources, transposed, layer = 0 } = roleOf(name, conv1d);
  const depth = layer / Math.max(layers - 1, 1);
  const profiles = await Promise.all(sources.map((source) => trained(source, depth)));
  if (shape.length < 2) {
    const values = new Float32Array(shape[0]);
    const rounding = new Float32Array(shape[0]);
    random.fill(rounding, 0, rounding.length, ROUNDING);
    fillParts(random, values, profiles, (profile) => profile.values, 1, rounding);
    yield values;
    return;
  }
  yield* drawMatrix(random, shape, profiles, transposed);
}

/** Several profiles are the parts of a fused projection, which lie side by side: GPT-2 has them in the columns. */
function* drawMatrix(random, [rows, columns], profiles, transposed) {
  const outputScales = new Float32Array(transposed ? columns : rows);
  const inputScales = new Float32Array(transposed ? rows : columns);
  fillParts(random, outputScales, profiles, (profile) => profile.outputScales);
  fillParts(random, inputScales, [profiles[0]], (profile) => profile.inputScales);
  const [rowScales, columnScales] = transposed ? [inputScales, outputScales] : [outputScales, inputScales];
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK_VALUES / columns));
  const chunk = new Float32Array(Math.min(rowsAtOnce, rows) * columns);
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const last = Math.min(first + rowsAtOnce, rows);
    for (let row = first; row < last; row++) {
      const out = chunk.subarray((row - first) * columns, (row - first + 1) * columns);
      fillParts(random, out, profiles, (profile) => profile.values, rowScales[row], columnScales);
    }
    yield chunk.subarray(0, (last - first) * columns);
  }
}

/** Fills each of `profiles.length` equal parts of `out` from its own profile. */
function fillParts(random, out, profiles, table, scale, scales) {
  profiles.forEach((profile, part) => {
    const edge = (at) => Math.round((at / profiles.length) * out.length);
    random.fill(out, edge(part), edge(part + 1), table(profile), scale, scales);
  });
}
