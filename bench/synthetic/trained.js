// What the weights of a trained model look like: scales of rows and columns, and the tails that remain.
import { WIDEN } from './floats.js';
import { quantiles } from './random.js';
import { roleOf } from './roles.js';

/**
 * A trained model as a source of distributions. Profiles are made when first asked for, and kept.
 * @param {import('../../dist/core/model.js').Model} model stays open as long as profiles are asked for
 * @returns {(source: string, depth: number) => Promise<Profile>} `depth`: 0 (first layer) to 1 (last)
 * @throws {Error} on tensors of no known role, and when no tensor has the role asked for
 */
export function profilesOf(model) {
  const layersOf = new Map();
  // Causal masks, which old checkpoints store as [1, 1, context, context], are not weights.
  const weights = model.tensors.filter(({ dtype, shape }) => dtype in WIDEN && shape.length <= 2);
  for (const tensor of weights) {
    const { sources, transposed, layer = 0 } = roleOf(tensor.name, model.config?.model_type === 'gpt2');
    // Fused projections would have to be cut apart first.
    if (sources.length > 1) continue;
    const layers = layersOf.get(sources[0]) ?? [];
    layersOf.set(sources[0], layers);
    layers.push({ tensor, transposed, layer, profile: undefined });
  }
  for (const layers of layersOf.values()) layers.sort((a, b) => a.layer - b.layer);
  return async (source, depth) => {
    const layers = layersOf.get(source);
    if (!layers) throw new Error(`${model.id}: no tensor of the role ${source} to sample from`);
    const chosen = layers[Math.round(depth * (layers.length - 1))];
    const { name, dtype, shape } = chosen.tensor;
    chosen.profile ??= profile(WIDEN[dtype](await model.readTensor(name)), shape, chosen.transposed);
    return chosen.profile;
  };
}

/**
 * Factors a matrix as output scale x input scale x remainder, each kept as a quantile function.
 * @typedef {{ values: Float32Array, outputScales?: Float32Array, inputScales?: Float32Array }} Profile
 * A vector has values only.
 */
function profile(weights, shape, transposed) {
  if (shape.length < 2) return { values: quantiles(weights) };
  const [rows, columns] = shape;
  const rest = Float64Array.from(weights);
  const rowScales = rootMeanSquares(rest, rows, columns, (row) => row);
  divide(rest, columns, (row) => rowScales[row]);
  const columnScales = rootMeanSquares(rest, rows, columns, (_, column) => column);
  divide(rest, columns, (_, column) => columnScales[column]);
  const [outputs, inputs] = transposed ? [columnScales, rowScales] : [rowScales, columnScales];
  return { values: quantiles(rest), outputScales: quantiles(outputs), inputScales: quantiles(inputs) };
}

/** Root mean square of each row or column; a dead one counts as 1, so that dividing by it leaves its zeros. */
function rootMeanSquares(matrix, rows, columns, axis) {
  const sums = new Float64Array(axis(rows, columns));
  for (let i = 0; i < matrix.length; i++) sums[axis(Math.floor(i / columns), i % columns)] += matrix[i] ** 2;
  return sums.map((sum) => Math.sqrt((sum * sums.length) / matrix.length) || 1);
}

function divide(matrix, columns, scale) {
  for (let i = 0; i < matrix.length; i++) matrix[i] /= scale(Math.floor(i / columns), i % columns);
}
