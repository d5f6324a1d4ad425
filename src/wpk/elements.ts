import type { StoredTensorEntry } from './directory.js';
import { planTensor } from './plan.js';
import { type Container, decodeFrame } from './reader.js';

/** Decodes bytes `start` to `end` (exclusive) of a tensor's elements. Only the blocks that contain them are read. @throws {IntegrityError} for damage. */
export async function readElements(
  container: Container,
  tensor: StoredTensorEntry,
  start: number,
  end: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  const blocks = planTensor(tensor, start, end);
  const side = blocks.length ? await container.readSide(tensor, signal) : {};
  for (const planned of blocks) {
    const frame = await container.readFrame(planned, signal);
    const elements = decodeFrame(frame, planned, tensor, side, container.source.name);
    const from = Math.max(0, start - planned.firstByte);
    bytes.set(elements.subarray(from, end - planned.firstByte), planned.firstByte + from - start);
  }
  return bytes;
}
