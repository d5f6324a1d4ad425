import { createHash } from 'node:crypto';

export type HashJobs = ReturnType<typeof hashJobs>;

/** Returns the jobs of a worker that computes one digest at a time. */
export function hashJobs() {
  let hash = createHash('sha256');
  return {
    /** Adds bytes to the digest, and returns them. */
    update(bytes: Uint8Array): Uint8Array {
      hash.update(bytes);
      return bytes;
    },
    /** Returns the SHA-256, hexadecimal, of the bytes added since the last digest. */
    digest(): string {
      const digest = hash.digest('hex');
      hash = createHash('sha256');
      return digest;
    },
  };
}
