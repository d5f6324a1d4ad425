import { loadWorker } from '../workers/browser/web-worker.js';
import { BlockPool } from '../wpk/block-pool.js';
import { decode } from '../wpk/jobs.js';

/** Maximum number of workers; with fewer, decoding is already faster than any download. */
const MAX_WORKERS = 4;

export type DecodePool = BlockPool<'decode'>;

/**
 * Starts Web Workers that decode blocks. Blocks are decoded on the calling thread until the first worker is ready, or if workers are
 * unsupported or cannot be loaded.
 */
export function startDecodePool(
  count = Math.min(MAX_WORKERS, globalThis.navigator?.hardwareConcurrency ?? 1),
): DecodePool {
  const pool: DecodePool = new BlockPool({ decode });
  try {
    for (let i = 0; i < count; i++) {
      const worker = new Worker(new URL('./decode-worker.js', import.meta.url), { type: 'module' });
      loadWorker(worker).then(
        (ready) => pool.add(ready),
        () => {}, // the module cannot be loaded
      );
    }
  } catch {
    // workers are unsupported, or the module has another origin
  }
  return pool;
}
