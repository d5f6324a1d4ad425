import { matrixOf } from '../../codecs/codec.js';
import { sumOf } from '../../core/sum.js';
import type { LayerShape, MatrixShape, ModelShape } from './shape.js';
import { FLOAT_BYTES, factoredSides, momentBytes } from './work.js';

// Most memory that a worker needs for each kind of job, in bytes.

/** Node and the runtime, before the first job. */
export const PROCESS_BYTES = 6e7;
/** Maximum number of logits in memory. */
const CHUNK_LOGITS = 2 ** 24;
/** Rows that are quantized together, for which errors and what feeds them are in memory. */
const BLOCK_ROWS = 256;
const INDEX_BYTES = 2;

/** What needs most memory, and how much. */
export interface Need {
  readonly label: string;
  readonly bytes: number;
}

/** Returns the largest need; none is 0 bytes. */
export function largest(needs: readonly Need[]): Need {
  return needs.reduce((most, need) => (need.bytes > most.bytes ? need : most), { label: '', bytes: 0 });
}

/**
 * Returns the layer of the forward and backward pass that needs most: its weights and those of the next, what is recorded of a batch and, being
 * stored, of the one before, and the inputs of all layers; or the head with two chunks of logits.
 */
export function windowsNeed({ layers, head, hiddenSize, vocabulary }: ModelShape, tokens: number): Need {
  const states = tokens * hiddenSize * (layers.length + 2);
  return largest([
    ...layers.map((layer, i) => need(layer, states + 2 * tokens * layer.recorded + pairOf(layers, i))),
    need(head, states + head.weights + (vocabulary ? 2 * chunkOf(vocabulary) : 0)),
  ]);
}

/** Returns the layer that needs most for measuring: two models, one after the other, and logits of both. */
export function measureNeed({ layers, head, hiddenSize, vocabulary }: ModelShape, tokens: number): Need {
  const states = 4 * tokens * hiddenSize;
  return largest([
    ...layers.map((layer, i) => need(layer, states + tokens * layer.recorded + pairOf(layers, i))),
    need(head, states + 2 * head.weights + (vocabulary ? 2 * chunkOf(vocabulary) : 0)),
  ]);
}

/** Returns the weights of a layer and of its neighbor. */
const pairOf = (layers: readonly LayerShape[], i: number) =>
  layers[i]!.weights + Math.max(layers[i - 1]?.weights ?? 0, layers[i + 1]?.weights ?? 0);

const chunkOf = (vocabulary: number) => Math.max(vocabulary, CHUNK_LOGITS);

const need = ({ label }: Pick<LayerShape, 'label'>, floats: number): Need => ({
  label,
  bytes: PROCESS_BYTES + FLOAT_BYTES * floats,
});

/** Returns what the second moments of a matrix need: two arrays of each, and what was recorded of one batch and the next. */
export function momentsNeed({ tensor, uses }: MatrixShape, tokens: number): Need {
  const widest = uses.reduce((most, { widths, share }) => {
    const squares = sumOf(widths, (width) => width ** 2);
    return Math.max(most, 2 * squares + 2 * tokens * share * sumOf(widths, (width) => width));
  }, 0);
  const { columns, stack } = matrixOf(tensor.shape);
  const sums = stack > 1 ? columns ** 2 : 0;
  return need({ label: tensor.name }, widest + sums);
}

/**
 * Returns what quantizing a matrix needs. First weights, moments as they were read, and moments to be factored in place. Then weights, factors,
 * the parts of the columns' factor above each panel, errors of a block of rows, and, where rows interact, the terms of all of them.
 */
export function matrixNeed(matrix: MatrixShape): Need {
  const { tensor, weights } = matrix;
  const { columns } = matrixOf(tensor.shape);
  const sides = factoredSides(matrix);
  const moments = sumOf(sides, (side) => side ** 2);
  const reading = FLOAT_BYTES * (weights + moments) + Math.max(momentBytes(matrix), FLOAT_BYTES * moments);
  const panels = sides.length ? columns ** 2 / 2 : 0;
  const terms = sides.length > 1 ? weights : 0;
  const block = 4 * BLOCK_ROWS * columns;
  const feeding = FLOAT_BYTES * (weights + moments + panels + terms + block) + INDEX_BYTES * weights;
  return { label: tensor.name, bytes: PROCESS_BYTES + Math.max(reading, feeding) };
}

/** Returns what coding a matrix's indices needs: these and the payload. */
export function encodeNeed({ tensor, weights }: MatrixShape, bits: number): Need {
  return { label: tensor.name, bytes: PROCESS_BYTES + weights * (INDEX_BYTES + bits / 8) };
}
