// What the weights of a trained model look like: scales of rows and columns, and the tails that remain.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { WIDEN } from './floats.js';
import { quantiles } from './random.js';
import { roleOf } from './roles.js';

/**
 * Opens a trained model directory (one model.safetensors; F32, BF16 or F16) as a source of distributions.
 * @returns {(source: string, depth: number) => Profile} `depth`: 0 (first layer) to 1 (last)
 */
export function openTrained(directory) {
  const path = `${directory}/model.safetensors`;
  const { model_type } = JSON.parse(readFileSync(`${directory}/config.json`, 'utf8'));
  const layersOf = new Map();
  for (const tensor of readHeader(path)) {
    const { sources, transposed, layer } = roleOf(tensor.name, model_type === 'gpt2');
    if (sources.length > 1)
      throw new Error(`${path}: ${tensor.name}: fused projections cannot be sampled from`);
    const layers = layersOf.get(sources[0]) ?? [];
    layersOf.set(sources[0], layers);
    layers.push({ tensor, transposed, layer: layer ?? 0, profile: undefined });
  }
  for (const layers of layersOf.values()) layers.sort((a, b) => a.layer - b.layer);
  return (source, depth) => {
    const layers = layersOf.get(source);
    if (!layers) throw new Error(`${path}: no tensor of the role ${source} to sample from`);
    const chosen = layers[Math.round(depth * (layers.length - 1))];
    chosen.profile ??= profile(readValues(path, chosen.tensor), chosen.tensor.shape, chosen.transposed);
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

function readHeader(path) {
  const headerBytes = Number(new DataView(readRange(path, 0, 8).buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(readRange(path, 8, 8 + headerBytes)));
  return Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, { dtype, shape, data_offsets }]) => ({
      name,
      dtype,
      shape,
      start: 8 + headerBytes + data_offsets[0],
      end: 8 + headerBytes + data_offsets[1],
    }));
}

function readValues(path, { name, dtype, start, end }) {
  const widen = WIDEN[dtype];
  if (!widen) throw new Error(`${path}: ${name}: expected ${Object.keys(WIDEN).join(', ')}, found ${dtype}`);
  return widen(readRange(path, start, end));
}

function readRange(path, start, end) {
  const bytes = new Uint8Array(end - start);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, bytes, 0, bytes.length, start) !== bytes.length)
      throw new Error(`${path}: ends before byte ${end}`);
    return bytes;
  } finally {
    closeSync(file);
  }
}
