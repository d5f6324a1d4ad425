import { matrixOf } from '../../codecs/codec.js';
import { CONTEXTS } from '../../codecs/trellis/levels.js';
import { INDICES } from '../../codecs/trellis/tokens.js';
import { sumOf } from '../../core/sum.js';
import { RATES } from './rates.js';
import type { LayerShape, MatrixShape, MatrixUse, ModelShape } from './shape.js';
import type { Work } from './simulate.js';

// What each kind of job of a lossy run reads, computes and writes.

export const FLOAT_BYTES = 4;
/** Bytes per index: nearly all lie between -127 and 127. */
export const INDEX_BYTES = 1;
/** Bytes of the counts of indices in all contexts, four each. */
const COUNT_BYTES = 4 * CONTEXTS * 2 * INDICES;

/** Bytes of one half of a symmetric matrix, with its diagonal. */
const halfBytes = (n: number) => (FLOAT_BYTES * n * (n + 1)) / 2;

/** A part of a text. */
export interface Tokens {
  readonly tokens: number;
  /** Bytes of the model's tensors. */
  readonly modelBytes: number;
}

/** Returns a job of windows: all layers forward, the head, and all layers backward. */
export function windowsWork(shape: ModelShape, { tokens, modelBytes }: Tokens): Work {
  const { layers, embedding, head, vocabulary } = shape;
  const active = sumOf(layers, ({ activeWeights }) => activeWeights);
  const all = sumOf([embedding, ...layers, head], ({ weights }) => weights);
  const perToken =
    active * (RATES.forward.seconds + RATES.backward.seconds) +
    head.activeWeights * RATES.head.seconds +
    vocabulary * RATES.sample.seconds;
  return {
    seconds: tokens * perToken + 2 * all * RATES.load.seconds,
    readBytes: 2 * modelBytes,
    writtenBytes: FLOAT_BYTES * (tokens * recordedOf(shape) + vocabulary),
  };
}

/** Returns how many numbers are recorded of each token. */
export const recordedOf = ({ embedding, layers, head }: ModelShape) =>
  sumOf([embedding, ...layers, head], ({ recorded }: LayerShape) => recorded);

/** Returns the job of a matrix's second moments. @param batches files of inputs and gradients that it reads. */
export function momentsWork({ tensor, uses }: MatrixShape, tokens: number, batches: number): Work {
  const rows = matrixOf(tensor.shape).rows;
  const heads = uses.filter(({ kind }) => kind === 'head').length;
  const squares = sumOf(uses, ({ widths, share }) => share * sumOf(widths, (width) => width ** 2));
  const read = sumOf(uses, ({ widths, share }) => share * sumOf(widths, (width) => width));
  return {
    seconds: tokens * squares * RATES.moments.seconds,
    readBytes: FLOAT_BYTES * (tokens * read + heads * batches * rows),
    writtenBytes: momentBytes({ tensor, uses }),
  };
}

/** Returns the bytes of a matrix's moments as they are stored: halves of symmetric matrices, and diagonals. */
export function momentBytes({ tensor, uses }: Pick<MatrixShape, 'tensor' | 'uses'>): number {
  const { rows, columns, stack } = matrixOf(tensor.shape);
  if (!uses.length) return 0;
  if (stack > 1) return halfBytes(columns) + FLOAT_BYTES * rows;
  // layers that share a matrix add to the same moments
  const kinds = new Map(uses.map((use) => [use.kind, use]));
  return sumOf([...kinds.values()], ({ kind, widths }: MatrixUse) => {
    const diagonal = kind === 'linear' ? 0 : FLOAT_BYTES * rows;
    return diagonal + sumOf(widths, halfBytes);
  });
}

/** Returns the widths of the moments that are factored: of columns that interact, then of rows that do. */
export function factoredSides({ tensor, uses }: Pick<MatrixShape, 'tensor' | 'uses'>): readonly number[] {
  const { rows, columns, stack } = matrixOf(tensor.shape);
  if (!uses.length) return [];
  return stack > 1 || uses.some(({ kind }) => kind !== 'linear') ? [columns] : [columns, rows];
}

/** Returns the job that quantizes a matrix. */
export function matrixWork(matrix: MatrixShape): Work {
  const { tensor, weights } = matrix;
  const sides = factoredSides(matrix);
  const [columns = 0, rows = 0] = sides;
  const trellis = rows ? RATES.trellisOfTwoSides : RATES.trellis;
  const perWeight =
    RATES.load.seconds + trellis.seconds + columns * RATES.feed.seconds + rows * RATES.push.seconds;
  return {
    seconds: weights * perWeight + sumOf(sides, (side) => side ** 3) * RATES.factor.seconds,
    readBytes: tensor.lengthBytes + momentBytes(matrix),
    writtenBytes: weights * INDEX_BYTES + COUNT_BYTES,
  };
}

/** Returns the job that codes the indices of a matrix. */
export function encodeWork({ weights }: MatrixShape, bits: number): Work {
  return {
    seconds: weights * RATES.encode.seconds,
    readBytes: weights * INDEX_BYTES,
    writtenBytes: (weights * bits) / 8,
  };
}

/** Returns a job that measures a candidate on some windows. */
export function measureWork(
  { layers, head, vocabulary, matrices, embedding }: ModelShape,
  { tokens, modelBytes }: Tokens,
  fileBytes: number,
): Work {
  const active = sumOf([...layers, head], ({ activeWeights }) => activeWeights);
  const all = sumOf([embedding, ...layers, head], ({ weights }) => weights);
  const decoded = sumOf(matrices, ({ weights }) => weights);
  const perToken = 2 * active * RATES.forward.seconds + vocabulary * RATES.score.seconds;
  return {
    seconds: tokens * perToken + 2 * all * RATES.load.seconds + decoded * RATES.decode.seconds,
    readBytes: modelBytes + fileBytes,
    writtenBytes: 0,
  };
}
