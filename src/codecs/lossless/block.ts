import { DTYPE_BYTES, type Dtype } from '../../core/dtype.js';
import { sumOf } from '../../core/sum.js';
import { BLOCK_BYTES, type LosslessKernels } from '../../wasm/lossless.js';
import { decodeContexts, encodeContexts } from './contexts.js';
import { decodeDifferences, differencesPay, encodeDifferences } from './differences.js';
import { decodeFields, encodeFields, hasFields } from './fields.js';
import { decodeFloats, EXPONENT_BITS, encodeFloats } from './floats.js';
import { canDiffer, decodeFromBase, encodeFromBase } from './from-base.js';
import { decodePatches, encodePatches } from './patches.js';
import { type BlockPlace, decodeBand, decodeRamp, encodeBand, encodeRamp, equal } from './patterns.js';
import { decodePlanes, encodePlanes } from './planes.js';
import { ggmlRecords } from './records.js';
import { decodeShifted, encodeShifted, shiftsPay } from './shifts.js';
import { decodeStairs, encodeStairs } from './stairs.js';
import { chooseWalks } from './walks.js';

export { BLOCK_BYTES };

/** A block of whole elements, at most BLOCK_BYTES, and its place in the tensor. */
export interface Block extends BlockPlace {
  readonly dtype: Dtype;
  /** Number of elements, at least 1. */
  readonly count: number;
}

/** The modes of spec/wpk-v1.md, "Lossless block". */
const STORED = 0;
const RAMP = 1;
const BAND = 2;
const PLANES = 3;
const FLOATS = 4;
const FIELDS = 5;
const CONTEXTS = 6;
const STAIRS = 7;
const DIFFERENCES = 8;
const PATCHES = 9;
const SHIFTED = 10;
/** Modes of blocks that need the base's elements. */
const SAME = 32;
const DIFFERENCE = 33;

/** Bytes of the header: the digest of the decoded bytes, then the mode. */
const HEADER_BYTES = 9;

/**
 * Encodes a block in the mode with the shortest payload, at most 9 bytes longer than its elements.
 * @param elements little-endian. @param target receives the payload; it needs room for `payloadLimit(elements)` bytes and may be the
 * memory of the elements. @param base elements of the same type in the same place, if the tensor has a base: fewer, if the base ends there.
 * @returns the length of the payload.
 */
export function encodeBlockInto(
  kernels: LosslessKernels,
  elements: Uint8Array,
  block: Block,
  target: Uint8Array,
  base?: Uint8Array,
): number {
  const width = DTYPE_BYTES[block.dtype];
  if (elements.length !== block.count * width || elements.length > BLOCK_BYTES || block.count < 1)
    throw new RangeError(
      `expected ${block.count} elements of ${block.dtype}, found ${elements.length} bytes`,
    );
  const stored = kernels.buffers.elements.subarray(0, elements.length);
  stored.set(elements);
  const digest = kernels.elementsDigest(stored.length);
  const [mode, pieces] = choosePayload(kernels, stored, block, base);
  const view = new DataView(target.buffer, target.byteOffset, HEADER_BYTES);
  view.setBigUint64(0, digest, true);
  view.setUint8(8, mode);
  let next = HEADER_BYTES;
  for (const piece of pieces) {
    target.set(piece, next);
    next += piece.length;
  }
  return next;
}

/** Returns the maximum length of the payload of `elements`. */
export const payloadLimit = (elements: Uint8Array) => elements.length + HEADER_BYTES;

/** Encodes a block like {@link encodeBlockInto} and returns the payload. */
export function encodeBlock(
  kernels: LosslessKernels,
  elements: Uint8Array,
  block: Block,
  base?: Uint8Array,
): Uint8Array {
  const { frame } = kernels.buffers;
  return frame.slice(0, encodeBlockInto(kernels, elements, block, frame, base));
}

/** Returns whether decoding a payload needs the base's elements. */
export const needsBase = (payload: Uint8Array) => payload[HEADER_BYTES - 1]! >= SAME;

function choosePayload(
  kernels: LosslessKernels,
  elements: Uint8Array,
  block: Block,
  base?: Uint8Array,
): [mode: number, pieces: Uint8Array[]] {
  const width = DTYPE_BYTES[block.dtype];
  const ramp = encodeRamp(elements, width);
  if (ramp && ramp.length <= elements.length) return [RAMP, [ramp]];
  const band = encodeBand(elements, width, block);
  if (band && band.length <= elements.length) return [BAND, [band]];
  const stairs = encodeStairs(elements, width, block.first);
  if (stairs && stairs.length <= elements.length) return [STAIRS, [stairs]];
  const difference = base && chooseDifference(kernels, elements, block, base);
  const most = difference ? lengthOf(difference[1]) : elements.length;
  if (difference && most < SHORT * elements.length) return difference;
  const [mode, coded] = choosePlanes(kernels, elements, block, width);
  if (lengthOf(coded) < most) return [mode, coded];
  return difference ?? [STORED, [elements]];
}

/** No block without a base gets this short, of its elements' bytes, unless it is a {@link RAMP} or {@link BAND}. */
const SHORT = 0.3;

/** Returns the payload that needs the base; undefined if it would not be shorter than the elements. */
function chooseDifference(
  kernels: LosslessKernels,
  elements: Uint8Array,
  { dtype, count }: Block,
  base: Uint8Array,
): [mode: number, pieces: Uint8Array[]] | undefined {
  if (equal(elements, base)) return [SAME, []];
  if (!canDiffer(dtype)) return undefined;
  setBase(kernels, base, elements.length);
  const pieces = encodeFromBase(kernels, count, dtype);
  return pieces && lengthOf(pieces) < elements.length ? [DIFFERENCE, pieces] : undefined;
}

/** Elements that the base does not have are zeros. */
function setBase(kernels: LosslessKernels, base: Uint8Array, length: number): void {
  const own = kernels.fromBase.buffers.base;
  if (base.buffer !== own.buffer || base.byteOffset !== own.byteOffset) own.set(base); // else it was read to its place
  own.fill(0, base.length, length);
}

/** So few floats take no more bytes than a stream's states and a table. */
const FEW_FLOATS = 8;

type Way = [mode: number, pieces: Uint8Array[]];

function choosePlanes(kernels: LosslessKernels, elements: Uint8Array, block: Block, width: number): Way {
  return block.dtype in EXPONENT_BITS
    ? chooseFloats(kernels, elements, block)
    : chooseIntegers(kernels, elements, block, width);
}

function chooseFloats(kernels: LosslessKernels, elements: Uint8Array, block: Block): Way {
  const { dtype, count } = block;
  if (count <= FEW_FLOATS) return [STORED, [elements]];
  const patches = encodePatches(kernels, count, dtype);
  if (patches) return [PATCHES, patches];
  const shifted = shiftsPay(elements, block) ? encodeShifted(kernels, block) : undefined;
  return shifted ? [SHIFTED, shifted] : [FLOATS, encodeFloats(kernels, count, dtype)];
}

/** Returns the shortest of planes and what else may pay. Rows of a known length may be a coincidence. */
function chooseIntegers(kernels: LosslessKernels, elements: Uint8Array, block: Block, width: number): Way {
  const { dtype, count, first, columns } = block;
  const ways: Way[] = [[PLANES, encodePlanes(kernels, count, width)]];
  const walks = chooseWalks(kernels, block);
  for (const { records, walk } of walks) ways.push([CONTEXTS, encodeContexts(kernels, records, walk, block)]);
  if (dtype === 'U8' && hasFields(columns) && (!walks.length || !ggmlRecords(columns).length))
    ways.push([FIELDS, encodeFields(kernels, count, first, columns)]);
  if (differencesPay(elements, dtype)) ways.push([DIFFERENCES, encodeDifferences(kernels, count, width)]);
  return ways.reduce((a, b) => (lengthOf(b[1]) < lengthOf(a[1]) ? b : a));
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return sumOf(pieces, ({ length }) => length);
}

/** Returns the XXH64 of the decoded elements that a payload declares in its first bytes. */
export function declaredDigest(payload: Uint8Array): bigint {
  return new DataView(payload.buffer, payload.byteOffset, HEADER_BYTES).getBigUint64(0, true);
}

/**
 * Decodes a block's payload, which may be a view of the kernels' `payload`. @param base as it was encoded with.
 * @returns a view of the kernels' memory, valid until their next use.
 * @throws {RangeError} when the payload is malformed or the digest of the decoded elements does not match.
 */
export function decodeBlock(
  kernels: LosslessKernels,
  coded: Uint8Array,
  block: Block,
  base?: Uint8Array,
): Uint8Array {
  const width = DTYPE_BYTES[block.dtype];
  const length = block.count * width;
  if (
    length > BLOCK_BYTES ||
    block.count < 1 ||
    coded.length < HEADER_BYTES ||
    coded.length > length + HEADER_BYTES
  )
    throw new RangeError(
      `invalid length of ${coded.length} bytes for ${block.count} elements of ${block.dtype}`,
    );
  const out = kernels.buffers.elements.subarray(0, length);
  const body = bodyIn(kernels, coded.subarray(HEADER_BYTES));
  switch (coded[8]) {
    case STORED:
      if (body.length !== length) throw new RangeError('stored block of the wrong length');
      out.set(body);
      break;
    case RAMP:
      decodeRamp(body, width, out);
      break;
    case BAND:
      decodeBand(body, width, block, out);
      break;
    case PLANES:
      decodePlanes(kernels, body, block.count, width);
      break;
    case FLOATS:
      decodeFloats(kernels, body, block.count, block.dtype);
      break;
    case FIELDS:
      if (width !== 1) throw new RangeError('field mode for elements that are not bytes');
      decodeFields(kernels, body, block.count, block.first);
      break;
    case CONTEXTS:
      decodeContexts(kernels, body, block);
      break;
    case STAIRS:
      decodeStairs(body, width, block.first, out);
      break;
    case DIFFERENCES:
      if (width === 1) throw new RangeError('differences of bytes');
      decodeDifferences(kernels, body, block.count, width);
      break;
    case PATCHES:
      decodePatches(kernels, body, block.count, block.dtype);
      break;
    case SHIFTED:
      decodeShifted(kernels, body, block);
      break;
    case SAME:
      if (base?.length !== length || body.length)
        throw new RangeError('expected a base of the same length, and no payload');
      out.set(base);
      break;
    case DIFFERENCE:
      if (!base || base.length > length) throw new RangeError('expected a base that is not longer');
      setBase(kernels, base, length);
      decodeFromBase(kernels, body, block.count, block.dtype);
      break;
    default:
      throw new RangeError(`unknown mode ${coded[8]}`);
  }
  if (kernels.elementsDigest(length) !== declaredDigest(coded))
    throw new RangeError('the digest of the decoded elements does not match');
  return out;
}

/** Returns a view of the kernels' `payload` with the body of a payload; it may be there already. */
function bodyIn(kernels: LosslessKernels, body: Uint8Array): Uint8Array {
  if (kernels.owns(body)) return body;
  const own = kernels.buffers.payload.subarray(0, body.length);
  own.set(body);
  return own;
}

/** Yields the blocks of a tensor of this dtype and shape in order, from number `from` on; none for an empty tensor. */
export function* blocksOf(dtype: Dtype, shape: readonly number[], from = 0): Generator<Block> {
  const total = shape.reduce((product, dimension) => product * dimension, 1);
  const most = BLOCK_BYTES / DTYPE_BYTES[dtype];
  const rows = shape.at(-2) ?? 1;
  const columns = shape.at(-1) ?? 1;
  for (let first = from * most; first < total; first += most)
    yield { dtype, first, rows, columns, count: Math.min(most, total - first) };
}
