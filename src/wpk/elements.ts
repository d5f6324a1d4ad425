import type { DecoderSide } from '../codecs/codec.js';
import type { StoredTensorEntry } from './directory.js';
import { type PlannedBlock, planTensor } from './plan.js';
import { type Container, decodeFrame } from './reader.js';

/**
 * Decodes bytes `start` to `end` (exclusive) of a tensor's elements. Only the blocks that contain them are read. Blocks of which only a part
 * is needed are kept for the next call ({@link Container.blocks}). @throws {IntegrityError} for damage.
 */
export async function readElements(
  container: Container,
  tensor: StoredTensorEntry,
  start: number,
  end: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  return container.base.explained(tensor, readBlocks(container, tensor, start, end, signal));
}

async function readBlocks(
  container: Container,
  tensor: StoredTensorEntry,
  start: number,
  end: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { blocks, source } = container;
  const bytes = new Uint8Array(end - start);
  const take = (elements: Uint8Array, { firstByte, endByte }: PlannedBlock) => {
    const [from, to] = [Math.max(start, firstByte), Math.min(end, endByte)];
    bytes.set(elements.subarray(from - firstByte, to - firstByte), from - start);
  };
  let side: DecoderSide | undefined;
  for (const planned of planTensor(tensor, start, end)) {
    const kept = blocks.get(planned.start);
    if (kept) {
      take(kept, planned);
      continue;
    }
    side ??= await container.readSide(tensor, signal);
    const own = await container.base.side(tensor, planned, side, signal);
    const frame = await container.borrowFrame(planned, signal);
    const decoded = blocks.get(planned.start); // by another call meanwhile
    const elements = decoded ?? decodeFrame(frame, planned, tensor, own, source.name);
    container.returnFrame(frame);
    take(elements, planned);
    const isPart = planned.firstByte < start || planned.endByte > end;
    if (isPart && !decoded) blocks.add(planned.start, elements);
  }
  return bytes;
}
