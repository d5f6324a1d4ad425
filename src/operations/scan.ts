import { createHash } from 'node:crypto';
import { blocksOf } from '../codecs/lossless/block.js';
import { TensorEstimate, type TensorStatistics } from '../codecs/lossless/estimate.js';
import { DTYPE_BYTES } from '../core/dtype.js';
import type { Model, TensorInfo } from '../core/model.js';

/** Result of reading all of a tensor. */
export interface TensorScan extends TensorStatistics {
  /** SHA-256 of the elements in hexadecimal. */
  readonly digest: string;
  /** Whether all elements are equal, as in untrained norms and biases. */
  readonly constant: boolean;
}

/**
 * Reads a tensor once, in blocks; `onBytes` is called with the length of each.
 * @throws {InputError} like the model's reads.
 */
export async function scanTensor(
  model: Model,
  { name, dtype, shape }: TensorInfo,
  onBytes: (lengthBytes: number) => void,
  signal?: AbortSignal,
): Promise<TensorScan> {
  const estimate = new TensorEstimate(dtype, shape);
  const hash = createHash('sha256');
  const width = DTYPE_BYTES[dtype];
  let element: Uint8Array | undefined;
  let constant = true;
  for (const { first, count } of blocksOf(dtype, shape)) {
    const start = first * width;
    const block = await model.readTensor(name, start, start + count * width, signal);
    estimate.add(block);
    hash.update(block);
    element ??= block.slice(0, width);
    constant &&= repeats(block, element);
    onBytes(block.length);
  }
  return { ...estimate.finish(), digest: hash.digest('hex'), constant };
}

/** Returns whether `bytes` repeats `element`. Stops at the first difference, which is early in trained weights. */
function repeats(bytes: Uint8Array, element: Uint8Array): boolean {
  const width = element.length;
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== element[at % width]) return false;
  return true;
}
