import { createHash } from 'node:crypto';
import type { StoredTensorEntry } from '../container/directory.js';
import { planTensor } from '../container/plan.js';
import type { Container } from '../container/reader.js';
import { IntegrityError } from '../errors.js';
import { readInto } from '../io/source.js';
import { BUFFER_BYTES } from './jobs.js';
import { Ordered, type Pool } from './pool.js';

/**
 * Decodes a tensor on the pool's threads and hands over its elements block by block in order, each verified and only lent
 * until `take` is done; at the end its SHA-256 is compared.
 * @throws {IntegrityError} naming the tensor and what differs.
 */
export async function decodeTensor(
  container: Container,
  tensor: StoredTensorEntry,
  pool: Pool,
  take: (elements: Uint8Array, firstByte: number) => Promise<void> | void,
): Promise<void> {
  const file = container.source.name;
  const hash = createHash('sha256');
  const ordered = new Ordered<{ elements: Uint8Array; firstByte: number }>(
    pool.depth,
    async ({ elements, firstByte }) => {
      hash.update(elements);
      await take(elements, firstByte);
    },
  );
  const { name, codec } = tensor;
  for (const planned of planTensor(tensor)) {
    if (planned.end - planned.start > BUFFER_BYTES)
      throw new IntegrityError('a frame longer than any block can need', { file, tensor: name });
    const bytes = pool.take(planned.end - planned.start);
    await readInto(container.source, bytes, planned.start);
    const decoded = pool.run('decode', { bytes, planned, tensor: { name, codec }, file });
    await ordered.add(decoded.then((elements) => ({ elements, firstByte: planned.firstByte })));
  }
  await ordered.finish();
  const digest = hash.digest('hex');
  if (digest !== tensor.sha256)
    throw new IntegrityError(`SHA-256 of the elements is ${digest}, expected ${tensor.sha256}`, {
      file,
      tensor: name,
    });
}
