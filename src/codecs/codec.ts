import { DTYPE_BYTES, type Dtype, elementCount } from '../core/dtype.js';
import { InputError } from '../core/errors.js';
import { BLOCK_BYTES } from '../wasm/lossless.js';
import { type Block, blocksOf as losslessBlocks } from './lossless/block.js';
import { ROWS_PER_BLOCK } from './trellis/levels.js';

type Shaped = { readonly dtype: Dtype; readonly shape: readonly number[] };

/** How a codec lays a tensor out in frames. */
export interface Layout {
  /** Whether the blocks' frames come after one of parameters that all of them need. */
  readonly hasParameters: boolean;
  /** Frames of a tensor, that of the parameters included. */
  frameCount(tensor: Shaped): number;
  /** What each block holds, in order. */
  blocks(tensor: Shaped): Iterable<Block>;
}

/** The codecs, by their names in the directory. */
export const LOSSLESS = 'lossless';
export const TRELLIS = 'trellis';
export const TRANSFORM = 'transform';

/** Rows of a transformed tensor that are one block. */
const ROWS_PER_PIECE = 1024;

const LAYOUTS: Readonly<Record<string, Layout>> = {
  [LOSSLESS]: {
    hasParameters: false,
    frameCount: ({ dtype, shape }) => Math.ceil((elementCount(shape) * DTYPE_BYTES[dtype]) / BLOCK_BYTES),
    blocks: ({ dtype, shape }) => losslessBlocks(dtype, shape),
  },
  [TRELLIS]: {
    hasParameters: true,
    frameCount: ({ shape }) => 1 + Math.ceil(matrixOf(shape).rows / ROWS_PER_BLOCK),
    blocks: (tensor) => rowBlocks(tensor, ROWS_PER_BLOCK),
  },
  [TRANSFORM]: {
    hasParameters: false,
    frameCount: ({ shape }) => Math.ceil(matrixOf(shape).rows / ROWS_PER_PIECE),
    blocks: (tensor) => rowBlocks(tensor, ROWS_PER_PIECE),
  },
};

/** Kernels of convolutions end in fewer features than this, stacks of matrices in more. */
const MIN_STACK_COLUMNS = 64;

/**
 * The matrices that a lossy tensor of two dimensions or more is: `stack` of them, [rows / stack, columns] each, one below the other.
 * Stacked experts [E, outputs, inputs] are E matrices; a kernel [outputs, inputs, width] is one, with a row for each output.
 */
export function matrixOf(shape: readonly number[]): {
  readonly rows: number;
  readonly columns: number;
  readonly stack: number;
} {
  const elements = elementCount(shape);
  const last = shape.at(-1)!;
  if (shape.length > 2 && last >= MIN_STACK_COLUMNS)
    return { rows: elements / last, columns: last, stack: elementCount(shape.slice(0, -2)) };
  return { rows: shape[0]!, columns: elements / shape[0]!, stack: 1 };
}

const LOSSY_DTYPES: ReadonlySet<Dtype> = new Set<Dtype>(['F32', 'F16', 'BF16']);

/** Columns of a lossy tensor: a block of 256 rows, or a piece of 1024, is decoded at once, and must fit into memory. */
const MAX_COLUMNS: Readonly<Record<string, number>> = { [TRELLIS]: 2 ** 16, [TRANSFORM]: 2 ** 14 };

/** True for codecs that give back something else than was put in. */
export const isLossyCodec = (codec: string) => Object.hasOwn(MAX_COLUMNS, codec);

/** True for tensors that a lossy codec can hold: matrices of floats, of any number of dimensions above one. */
export function isMatrix({ dtype, shape }: Shaped, codec = TRELLIS): boolean {
  const mostColumns = MAX_COLUMNS[codec]!;
  const elements = elementCount(shape);
  return (
    LOSSY_DTYPES.has(dtype) && shape.length > 1 && elements > 0 && matrixOf(shape).columns <= mostColumns
  );
}

/** @throws {InputError} when the codec is not known, or cannot hold such a tensor. */
export function layoutOf(tensor: Shaped & { readonly name: string; readonly codec: string }, file: string) {
  const { name, codec } = tensor;
  const layout = Object.hasOwn(LAYOUTS, codec) ? LAYOUTS[codec] : undefined;
  const place = { file, tensor: name };
  if (!layout) throw new InputError(`codec ${JSON.stringify(codec)} is not known to this version`, place);
  if (isLossyCodec(codec) && !isMatrix(tensor, codec))
    throw new InputError(`codec ${codec} cannot hold ${tensor.dtype} [${tensor.shape}]`, place);
  return layout;
}

function* rowBlocks({ dtype, shape }: Shaped, rowsPerBlock: number): Generator<Block> {
  const { rows, columns } = matrixOf(shape);
  for (let row = 0; row < rows; row += rowsPerBlock) {
    const count = Math.min(rowsPerBlock, rows - row) * columns;
    yield { dtype, first: row * columns, rows, columns, count };
  }
}
