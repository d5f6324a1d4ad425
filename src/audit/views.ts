import { fixedBasis } from '../codecs/transform/bases.js';
import { multiply, transpose } from '../codecs/transform/products.js';
import type { Numbers } from './artifact.js';
import { whitened } from './whitening.js';

/** Weights as they are compared with a list: numbers of it, and as many that the weights give, both whitened. */
export interface View {
  /** What was compared with: `the first weights`, `the dct of the first row`, ... */
  readonly name: string;
  readonly list: Float64Array;
  readonly weights: Float64Array;
}

/** A tensor's weights, from its first on. */
export interface TensorWeights {
  readonly values: Float32Array;
  /** Weights of a row. */
  readonly width: number;
  /** Whether `values` are all of the tensor. */
  readonly whole: boolean;
}

/** Numbers that are compared of a list. */
const MAX_COMPARED = 1024;
/** Weights at the front of a tensor that block transforms are made of. */
const BLOCK = 128;
const BLOCK_TRANSFORMS = ['dct', 'dft', 'hadamard', 'haar', 'rft'] as const;
/** Weights that low frequencies are computed of: a direct sum for each, of so many frequencies at most. */
const MAX_SUMMED = 2 ** 18;
const MAX_FREQUENCIES = 256;

/** Everything that a list is compared with. @param neighbors lists beside it, which may be its indices. */
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

/** Real numbers of a list, complex ones by their real parts. */
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

/** The lowest frequencies of all of `values`: real parts of their Fourier transform, and their DCT-II, each but for its scale. */
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

/** The sum of values[n] cos(angle n + phase), the cosines by rotation. */
function cosineSum(values: Float32Array, angle: number, phase: number): number {
  const [turnCosine, turnSine] = [Math.cos(angle), Math.sin(angle)];
  let [cosine, sine, sum] = [Math.cos(phase), Math.sin(phase), 0];
  for (let n = 0; n < values.length; n++) {
    sum += values[n]! * cosine;
    [cosine, sine] = [cosine * turnCosine - sine * turnSine, sine * turnCosine + cosine * turnSine];
  }
  return sum;
}

/** The weights that a list of whole numbers beside this one points at. */
function indexedView(list: Numbers, indices: Numbers, values: Float32Array): View[] {
  if (indices === list || indices.complex || indices.count !== list.count) return [];
  const places = indices.values.subarray(0, MAX_COMPARED);
  if (!places.every((place) => Number.isInteger(place) && place >= 0 && place < values.length)) return [];
  const pointed = Float64Array.from(places, (place) => values[place]!);
  return [against(`the weights at ${indices.name}`, realParts(list).subarray(0, MAX_COMPARED), pointed)];
}

/**
 * Signs of the largest weights, for a list of falling magnitudes. Of signs alone: that one list of falling magnitudes is like another
 * says nothing.
 */
function largestFirst(list: Float64Array, values: Float32Array): View[] {
  if (!list.every((value, i) => i === 0 || Math.abs(value) <= Math.abs(list[i - 1]!))) return [];
  const signs = (of: Float64Array) => of.map(Math.sign);
  return [against('the signs of the largest weights', signs(list), signs(largest(values, list.length)))];
}

/** The `count` numbers of largest magnitude, those first. */
function largest(values: Float32Array, count: number): Float64Array {
  const magnitudes = values.map(Math.abs).sort();
  const least = magnitudes[Math.max(0, magnitudes.length - count)]!;
  const found = Float64Array.from(values.filter((value) => Math.abs(value) >= least));
  return found.sort((a, b) => Math.abs(b) - Math.abs(a)).subarray(0, count);
}
