import { createHash } from 'node:crypto';
import type { Model } from '../../core/model.js';

/** Bytes of each tensor that the digest includes: enough, because trained models differ everywhere. */
const SAMPLE_BYTES = 1 << 16;

/** Computes the SHA-256, hexadecimal, of a model's config, its tensors' names, types and shapes, and the first 64 KiB of each tensor. */
export async function modelDigest(model: Model): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(model.config ?? null));
  for (const { name, dtype, shape, lengthBytes } of model.tensors) {
    hash.update(JSON.stringify([name, dtype, shape]));
    hash.update(await model.readTensor(name, 0, Math.min(lengthBytes, SAMPLE_BYTES)));
  }
  return hash.digest('hex');
}
