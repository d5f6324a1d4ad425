import { createHash } from 'node:crypto';

export type HashJobs = ReturnType<typeof hashJobs>;

/** Makes the jobs of one digest after another. */
export function hashJobs() {
  let hash = createHash('sha256');
  return {
    /** Adds bytes, and returns them. */
    update(bytes: Uint8Array): Uint8Array {
      hash.update(bytes);
      return bytes;
    },
    /** Returns the SHA-256 of what was added since the last one, hexadecimal. */
    digest(): string {
      const digest = hash.digest('hex');
      hash = createHash('sha256');
      return digest;
    },
  };
}
