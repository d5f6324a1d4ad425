import type { DecoderSide } from '../codecs/codec.js';
import type { StoredTensorEntry } from './directory.js';
import { type PlannedBlock, planTensor } from './plan.js';
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
    const own = await container.base.side(tensor, planned, side, signal);
    const elements = await decoded(container, tensor, planned, frame, own);
    const from = Math.max(0, start - planned.firstByte);
    bytes.set(elements.subarray(from, end - planned.firstByte), planned.firstByte + from - start);
  }
  return bytes;
}

/** Decodes a frame. @throws {InputError} naming the base, if it is another one. */
async function decoded(
  container: Container,
  tensor: StoredTensorEntry,
  planned: PlannedBlock,
  frame: Uint8Array,
  side: DecoderSide,
): Promise<Uint8Array> {
  try {
    return decodeFrame(frame, planned, tensor, side, container.source.name);
  } catch (error) {
    throw await container.base.explain(tensor, error);
  }
}
