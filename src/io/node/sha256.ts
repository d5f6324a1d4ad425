import { createHash } from 'node:crypto';

/** Tensors of fewer bytes are digested at once: a thread's answer takes longer. */
export const SMALL_TENSOR_BYTES = 2 ** 15;

/** Returns the SHA-256 of bytes, hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
