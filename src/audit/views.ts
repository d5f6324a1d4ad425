import { fixedBasis } from '../codecs/transform/bases.js';
import { multiply, transpose } from '../codecs/transform/products.js';
import type { Numbers } from './artifact.js';
import { whitened } from './whitening.js';

/** Numbers of a list, and as many numbers derived from weights, both whitened for comparison. */
export interface View {
  /** Name of the derived numbers: `the first weights`, `the dct of the first row`, ... */
  readonly name: string;
  readonly list: Float64Array;
  readonly weights: Float64Array;
}

/** The first weights of a tensor. */
export interface TensorWeights {
  readonly values: Float32Array;
  /** Weights per row. */
  readonly width: number;
  /** Whether `values` are the whole tensor. */
  readonly whole: boolean;
}

/** Maximum numbers of a list that are compared. */
const MAX_COMPARED = 1024;
/** Number of first weights that are transformed as a block. */
const BLOCK = 128;
const BLOCK_TRANSFORMS = ['dct', 'dft', 'hadamard', 'haar', 'rft'] as const;
/** Limits of the weights and frequencies of direct Fourier sums. */
const MAX_SUMMED = 2 ** 18;
const MAX_FREQUENCIES = 256;

/** Returns all views of weights that a list is compared with. @param neighbors lists beside it, which may be indices. */
export function viewsOf(list: Numbers, neighbors: readonly Numbers[], weights: TensorWeights): View[] {
  const { values, width, whole } = weights;
  const numbers = realParts(list).subarray(0, MAX_COMPARED);
  const row = values.subarray(0, width);
  return [
    against('the first weights', numbers, Float64Array.from(values.subarray(0, MAX_COMPARED))),
    ...(values.length >= BLOCK ? BLOCK_TRANSFORMS.map((name) => blockView(name, numbers, values)) : []),
    ...frequencyViews('the first row', numbers, row),
    ...(whole && values.length > row.length ? frequencyViews('all weights', numbers, values) : []),
    ...(whole ? neighbors.flatMap((indices) => indexedView(list, indices, values)) : []),
    ...(whole ? largestFirst(numbers, values) : []),
  ];
}

/** Returns the numbers of a list, or their real parts if they are complex. */
function realParts({ values, complex }: Numbers): Float64Array {
  return complex ? values.filter((_, i) => i % 2 === 0) : values;
}

function against(name: string, list: Float64Array, weights: Float64Array): View {
  const count = Math.min(list.length, weights.length);
  return {
    name,
    list: whitened(list.subarray(0, count)),
    weights: whitened(weights.subarray(0, count)),
  };
}

function blockView(name: string, list: Float64Array, values: Float32Array): View {
  const block = Float64Array.from(values.subarray(0, BLOCK));
  const basis = transpose(fixedBasis(name, BLOCK).real, BLOCK, BLOCK);
  return against(`the ${name} of the first ${BLOCK}`, list, multiply(block, basis, 1, BLOCK, BLOCK));
}

/** Returns the lowest frequencies of `values`, unscaled: the real parts of their Fourier transform, and their DCT-II. */
function frequencyViews(of: string, list: Float64Array, values: Float32Array): View[] {
  if (values.length > MAX_SUMMED || values.length < 2) return [];
  const count = Math.min(list.length, MAX_FREQUENCIES, values.length);
  const sums = (turn: number, phase: number) =>
    Float64Array.from({ length: count }, (_, k) => cosineSum(values, turn * k, turn * k * phase));
  return [
    against(`the dft of ${of}`, list, sums((2 * Math.PI) / values.length, 0)),
    against(`the dct of ${of}`, list, sums(Math.PI / values.length, 0.5)),
  ];
}

/** Returns the sum of values[n] cos(angle n + phase), computing the cosines by rotation. */
function cosineSum(values: Float32Array, angle: number, phase: number): number {
  const [turnCosine, turnSine] = [Math.cos(angle), Math.sin(angle)];
  let [cosine, sine, sum] = [Math.cos(phase), Math.sin(phase), 0];
  for (let n = 0; n < values.length; n++) {
    sum += values[n]! * cosine;
    [cosine, sine] = [cosine * turnCosine - sine * turnSine, sine * turnCosine + cosine * turnSine];
  }
  return sum;
}

/** Returns the weights at the indices in a neighboring list. */
function indexedView(list: Numbers, indices: Numbers, values: Float32Array): View[] {
  if (indices === list || indices.complex || indices.count !== list.count) return [];
  const places = indices.values.subarray(0, MAX_COMPARED);
  if (!places.every((place) => Number.isInteger(place) && place >= 0 && place < values.length)) return [];
  const pointed = Float64Array.from(places, (place) => values[place]!);
  return [against(`the weights at ${indices.name}`, realParts(list).subarray(0, MAX_COMPARED), pointed)];
}

/**
 * Compares a list of decreasing magnitudes with the largest weights. Only signs are compared, because any two lists of decreasing
 * magnitudes correlate.
 */
function largestFirst(list: Float64Array, values: Float32Array): View[] {
  if (!list.every((value, i) => i === 0 || Math.abs(value) <= Math.abs(list[i - 1]!))) return [];
  const signs = (numbers: Float64Array) => numbers.map(Math.sign);
  return [against('the signs of the largest weights', signs(list), signs(largest(values, list.length)))];
}

/** Returns the `count` numbers of largest magnitude, in decreasing order. */
function largest(values: Float32Array, count: number): Float64Array {
  const magnitudes = values.map(Math.abs).sort();
  const least = magnitudes[Math.max(0, magnitudes.length - count)]!;
  const found = Float64Array.from(values.filter((value) => Math.abs(value) >= least));
  return found.sort((a, b) => Math.abs(b) - Math.abs(a)).subarray(0, count);
}
