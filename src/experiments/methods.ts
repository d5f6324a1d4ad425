/** What each method of `lab` does, in a sentence. */
const EXPLANATIONS: Readonly<Record<string, string>> = {
  weightpress:
    'The quantizer of this project: steps follow the measured effect of each weight on the output, each rounding error is corrected by weights that are not rounded yet, and the integers are entropy coded.',
  none: 'No transform: every weight is rounded to the same step, and the integers are entropy coded.',
  rft: 'The “Resonance Fourier Transform”: frequencies spaced by the golden ratio. It is complex, so there are twice as many coefficients as weights.',
  dft: 'The discrete Fourier transform: waves of whole frequencies.',
  dct: 'The discrete cosine transform, the basis of JPEG.',
  hadamard: 'The Hadamard transform: sums and differences only. It spreads outliers over a block.',
  haar: 'The Haar wavelet: means and differences of neighbors, at every scale.',
  klt: 'The Karhunen-Loève transform: the basis that decorrelates the blocks of each matrix best, computed from it and stored with it.',
  svd: 'The singular value decomposition: each matrix as a sum of products of two vectors.',
};

const LARGEST = ' Only the largest coefficients are stored.';

/** Returns a sentence about a method of a report; empty for one that is not known. */
export function explanationOf(method: string): string {
  const [name, how] = method.split(', ');
  return `${EXPLANATIONS[name!] ?? ''}${how ? LARGEST : ''}`;
}
