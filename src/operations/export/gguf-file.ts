import { sumOf } from '../../core/sum.js';
import type { Output } from '../../io/node/output.js';
import { aligned } from '../../models/gguf/header-writer.js';
import type { PlannedTensor } from './gguf-tensors.js';

/** Returns the bytes of a GGUF file. @param headerBytes of its header, with padding. */
export function ggufBytes(tensors: readonly PlannedTensor[], headerBytes: number): number {
  return headerBytes + sumOf(tensors, ({ lengthBytes }) => aligned(lengthBytes));
}

/**
 * Writes a header and all tensors, piece by piece. @param onProgress called with the bytes written so far, and the total.
 * @throws {InputError} for weights that a type cannot hold, and when the file cannot be written. @throws the signal's reason once it is aborted.
 */
export async function writeGgufTensors(
  output: Output,
  header: Uint8Array,
  tensors: readonly PlannedTensor[],
  onProgress: (done: number, total: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const total = ggufBytes(tensors, header.length);
  await output.write(header);
  for (const tensor of tensors) {
    for await (const bytes of tensor.pieces(signal)) {
      signal?.throwIfAborted();
      await output.write(bytes);
      onProgress(output.length, total);
    }
    await output.write(new Uint8Array(aligned(output.length) - output.length));
  }
  signal?.throwIfAborted();
}
