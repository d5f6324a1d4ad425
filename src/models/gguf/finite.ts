import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { sumOf } from '../../core/sum.js';
import type { GgufHeader, GgufTensor } from './header.js';

/** Bytes read at once, about. */
const PIECE_BYTES = 2 ** 22;

/** Returns the first block of some whole blocks that has NaN or infinity; -1 if none has. */
type Find = (bytes: Uint8Array<ArrayBuffer>) => number;

/** Float16 numbers at these bytes of each block. */
const halves =
  (blockBytes: number, ...places: readonly number[]): Find =>
  (bytes) => {
    for (let at = 0, block = 0; at < bytes.length; at += blockBytes, block++)
      for (const place of places) if ((bytes[at + place + 1]! & 0x7c) === 0x7c) return block;
    return -1;
  };

/** What is looked at, by type: floats themselves, and the float16 scales of blocks (ggml-common.h). Others are not looked at. */
const FINDERS: Readonly<Record<string, Find>> = {
  F32: (bytes) => new Uint32Array(bytes.buffer).findIndex((bits) => (bits & 0x7f800000) === 0x7f800000),
  F16: (bytes) => new Uint16Array(bytes.buffer).findIndex((bits) => (bits & 0x7c00) === 0x7c00),
  BF16: (bytes) => new Uint16Array(bytes.buffer).findIndex((bits) => (bits & 0x7f80) === 0x7f80),
  Q4_0: halves(18, 0),
  Q4_1: halves(20, 0, 2),
  Q5_0: halves(22, 0),
  Q5_1: halves(24, 0, 2),
  Q8_0: halves(34, 0),
  Q2_K: halves(84, 80, 82),
  Q3_K: halves(110, 108),
  Q4_K: halves(144, 0, 2),
  Q5_K: halves(176, 0, 2),
  Q6_K: halves(210, 208),
  IQ4_NL: halves(18, 0),
  IQ4_XS: halves(136, 0),
};

/**
 * Reads all tensors whose types are known here, and looks for NaN and infinity in floats and scales of blocks.
 * @param onBytes called with the bytes of each piece. @throws {InputError} naming the tensor and the block. @throws the signal's reason once it is aborted.
 */
export async function checkFinite(
  { tensors }: GgufHeader,
  source: ByteSource,
  onBytes: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  for (const tensor of tensors) {
    const find = FINDERS[tensor.type.name];
    if (!find) {
      onBytes(tensor.end - tensor.start);
      continue;
    }
    const { blockBytes } = tensor.type;
    const step = Math.floor(PIECE_BYTES / blockBytes) * blockBytes;
    for (let at = tensor.start; at < tensor.end; at += step) {
      signal?.throwIfAborted();
      const bytes = (await source.read(at, Math.min(tensor.end, at + step), signal)).slice();
      const block = find(bytes);
      if (block >= 0) throw notFinite(tensor, source.name, at + block * blockBytes);
      onBytes(bytes.length);
    }
  }
}

/** Returns the bytes that {@link checkFinite} counts. */
export const tensorBytes = ({ tensors }: GgufHeader) => sumOf(tensors, ({ start, end }) => end - start);

function notFinite({ name, type }: GgufTensor, file: string, start: number): InputError {
  const place = { file, tensor: name, start, end: start + type.blockBytes };
  return new InputError(`NaN or infinity in ${type.name}: the file is damaged`, place);
}
