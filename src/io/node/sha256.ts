import { createHash } from 'node:crypto';

/** Smaller tensors are hashed on the calling thread, because a message to another thread takes longer. */
export const SMALL_TENSOR_BYTES = 2 ** 15;

/** Returns the SHA-256 of bytes in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
