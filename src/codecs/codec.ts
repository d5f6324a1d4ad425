import { DTYPE_BYTES, type Dtype, elementCount } from '../core/dtype.js';
import { ELEMENTS } from '../core/elements.js';
import { InputError } from '../core/errors.js';
import { widenerOf } from '../core/floats.js';
import { BLOCK_BYTES, losslessKernels } from '../wasm/lossless.js';
import { type Block, decodeBlock, blocksOf as losslessBlocks } from './lossless/block.js';
import { decodeTransform } from './transform/payload.js';
import { ROWS_PER_BLOCK } from './trellis/levels.js';
import { decodeRows } from './trellis/tensor.js';

type Shaped = { readonly dtype: Dtype; readonly shape: readonly number[] };

/** Payloads that a codec's blocks need for decoding, besides their own. */
export interface DecoderSide {
  /** Tables of the file. */
  readonly tables?: Uint8Array;
  /** Parameters of the tensor. */
  readonly parameters?: Uint8Array;
  /** Elements of the base in the block's place, of its type; fewer, if the base's tensor ends before. */
  readonly base?: Uint8Array;
}

/** A codec as a reader needs it: how a tensor is divided into frames, and how a frame's payload is decoded. */
export interface Codec {
  /** Whether a frame of parameters, needed by all blocks, precedes the frames of blocks. */
  readonly hasParameters: boolean;
  /** Returns the number of frames of a tensor, including that of the parameters. */
  frameCount(tensor: Shaped): number;
  /** Returns the number of elements of every block but the last, which may have fewer. */
  blockElements(tensor: Shaped): number;
  /** Yields the blocks in order, from number `from` on; by default all. */
  blocks(tensor: Shaped, from?: number): Iterable<Block>;
  /**
   * Decodes a payload to the little-endian elements of its block.
   * @returns a view, valid until the next call. @throws {RangeError} for a malformed payload.
   */
  decode(payload: Uint8Array, block: Block, side: DecoderSide): Uint8Array;
}

/** Names of the codecs in the directory. */
export const LOSSLESS = 'lossless';
export const TRELLIS = 'trellis';
export const TRANSFORM = 'transform';

/** Rows per block of a transformed tensor. */
const ROWS_PER_PIECE = 1024;

const CODECS: Readonly<Record<string, Codec>> = {
  [LOSSLESS]: {
    hasParameters: false,
    frameCount: ({ dtype, shape }) => Math.ceil((elementCount(shape) * DTYPE_BYTES[dtype]) / BLOCK_BYTES),
    blockElements: ({ dtype }) => BLOCK_BYTES / DTYPE_BYTES[dtype],
    blocks: ({ dtype, shape }, from) => losslessBlocks(dtype, shape, from),
    decode: (payload, block, { base }) => decodeBlock(losslessKernels(), payload, block, base),
  },
  [TRELLIS]: {
    hasParameters: true,
    frameCount: ({ shape }) => 1 + Math.ceil(matrixOf(shape).rows / ROWS_PER_BLOCK),
    blockElements: ({ shape }) => ROWS_PER_BLOCK * matrixOf(shape).columns,
    blocks: (tensor, from) => rowBlocks(tensor, ROWS_PER_BLOCK, from),
    decode: (payload, block, side) =>
      side.base ? decodeOnto(side.base, payload, block, side) : decodeRows(payload, block, side),
  },
  [TRANSFORM]: {
    hasParameters: false,
    frameCount: ({ shape }) => Math.ceil(matrixOf(shape).rows / ROWS_PER_PIECE),
    blockElements: ({ shape }) => ROWS_PER_PIECE * matrixOf(shape).columns,
    blocks: (tensor, from) => rowBlocks(tensor, ROWS_PER_PIECE, from),
    decode: (payload, { dtype, count, columns }) => {
      const values = decodeTransform(losslessKernels(), payload, { rows: count / columns, columns });
      return ELEMENTS[dtype as keyof typeof ELEMENTS](values);
    },
  },
};

/** Decodes a quantized block of differences and adds them to the base's elements: in float32, rounded to the block's type. */
function decodeOnto(base: Uint8Array, payload: Uint8Array, block: Block, side: DecoderSide): Uint8Array {
  const { dtype, count } = block;
  const bytes = decodeRows(payload, { ...block, dtype: 'F32' }, side);
  const values = new Float32Array(count);
  new Uint8Array(values.buffer).set(bytes);
  const known = widenerOf({ id: '' }, '', dtype)(base);
  if (known.length > count) throw new RangeError('expected a base that is not longer');
  for (let i = 0; i < known.length; i++) values[i]! += known[i]!;
  return ELEMENTS[dtype as keyof typeof ELEMENTS](values);
}

/** Tells stacks of matrices from convolution kernels, whose last dimension is smaller than this. */
const MIN_STACK_COLUMNS = 64;

/**
 * Views a tensor of two or more dimensions as `stack` matrices of [rows / stack, columns], one below the other.
 * Stacked experts [E, outputs, inputs] are E matrices; a convolution kernel [outputs, inputs, width] is one, with one row per output.
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

/** Maximum columns of a lossy tensor: a block of 256 rows (or 1024, transformed) is decoded at once and must fit into memory. */
const MAX_COLUMNS: Readonly<Record<string, number>> = { [TRELLIS]: 2 ** 16, [TRANSFORM]: 2 ** 14 };

/** Returns true for codecs that do not restore the exact elements. */
export const isLossyCodec = (codec: string) => Object.hasOwn(MAX_COLUMNS, codec);

/** Returns true for tensors that a lossy codec can store: floats, with two or more dimensions. */
export function isMatrix({ dtype, shape }: Shaped, codec = TRELLIS): boolean {
  const maxColumns = MAX_COLUMNS[codec]!;
  const elements = elementCount(shape);
  return LOSSY_DTYPES.has(dtype) && shape.length > 1 && elements > 0 && matrixOf(shape).columns <= maxColumns;
}

/** Returns the codec of a tensor. @throws {InputError} when it is unknown, or cannot store such a tensor. */
export function codecOf(tensor: Shaped & { readonly name: string; readonly codec: string }, file: string) {
  const { name, codec } = tensor;
  const found = Object.hasOwn(CODECS, codec) ? CODECS[codec] : undefined;
  const place = { file, tensor: name };
  if (!found)
    throw new InputError(`unknown codec ${JSON.stringify(codec)}; a newer weightpress may read it`, place);
  if (isLossyCodec(codec) && !isMatrix(tensor, codec))
    throw new InputError(`codec ${codec} cannot store ${tensor.dtype} [${tensor.shape}]`, place);
  return found;
}

/** Decodes a block's payload with a codec that {@link codecOf} has accepted. @returns and throws as {@link Codec.decode}. */
export function decodePayload(
  codec: string,
  payload: Uint8Array,
  block: Block,
  side: DecoderSide,
): Uint8Array {
  return CODECS[codec]!.decode(payload, block, side);
}

function* rowBlocks({ dtype, shape }: Shaped, rowsPerBlock: number, from = 0): Generator<Block> {
  const { rows, columns } = matrixOf(shape);
  for (let row = from * rowsPerBlock; row < rows; row += rowsPerBlock) {
    const count = Math.min(rowsPerBlock, rows - row) * columns;
    yield { dtype, first: row * columns, rows, columns, count };
  }
}
