import type { DecoderSide } from '../codecs/codec.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import { IntegrityError } from '../core/errors.js';
import { widenerOf } from '../core/floats.js';
import type { TensorInfo } from '../core/model.js';
import { sha256 as digestOf } from '../core/web-sha256.js';
import type { StoredTensorEntry } from '../wpk/directory.js';
import { type PlannedBlock, planTensor } from '../wpk/plan.js';
import type { Container } from '../wpk/reader.js';
import { readFrames } from './frames.js';
import type { DecodePool } from './workers.js';

/** A tensor with its elements. */
export interface DecodedTensor extends TensorInfo {
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array;
  /**
   * Returns the elements as float32: of F32, F16 and BF16 exactly, of F64 rounded. They may share the memory of `bytes`.
   * @throws {InputError} for elements that are no floats.
   */
  floats(): Float32Array;
}

/** A decoded block of a tensor. */
interface DecodedBlock {
  readonly index: number;
  readonly planned: PlannedBlock;
  readonly elements: Uint8Array;
}

/**
 * Decodes all tensors of a file in its order, each block and each tensor's SHA-256 verified (this where the page is served over https,
 * as browsers demand), the next ones being fetched and decoded while one is used: besides the tensor handed out, no more is in memory
 * than a few MB per worker. A tensor stored once for several comes once, under its first name.
 * @throws {InputError} on bytes that are not sound. @throws the signal's reason once it is aborted.
 */
export async function* decodeAll(
  container: Container,
  pool: DecodePool,
  signal?: AbortSignal,
): AsyncGenerator<DecodedTensor> {
  const stored = container.directory.tensors.filter(({ sameAs }) => sameAs === undefined);
  let current: DecodedTensor | undefined;
  let next = 0;
  const begin = () => {
    const { name, dtype, shape } = stored[next++]!;
    const lengthBytes = elementCount(shape) * DTYPE_BYTES[dtype];
    const bytes = new Uint8Array(lengthBytes);
    const floats = () => widenerOf({ id: container.source.name }, name, dtype)(bytes);
    return { name, dtype, shape, lengthBytes, bytes, floats };
  };
  for await (const { index, planned, elements } of decodeBlocks(container, stored, pool, signal)) {
    while (next <= index) {
      if (current) yield await checked(container, stored[next - 1]!, current);
      current = begin();
    }
    current!.bytes.set(elements, planned.firstByte);
    pool.give(elements);
  }
  if (current) yield await checked(container, stored[next - 1]!, current);
  while (next < stored.length) yield await checked(container, stored[next]!, begin()); // empty tensors at the end
}

/** Returns a decoded tensor after checking its digest. @throws {IntegrityError} when it does not match. */
async function checked(
  { source }: Container,
  { name, sha256 }: StoredTensorEntry,
  tensor: DecodedTensor,
): Promise<DecodedTensor> {
  const digest = await digestOf(tensor.bytes);
  if (digest === undefined || digest === sha256) return tensor;
  throw new IntegrityError(`SHA-256 of the elements is ${digest}, expected ${sha256}`, {
    file: source.name,
    tensor: name,
  });
}

async function* decodeBlocks(
  container: Container,
  stored: readonly StoredTensorEntry[],
  pool: DecodePool,
  signal?: AbortSignal,
): AsyncGenerator<DecodedBlock> {
  const file = container.source.name;
  const underWay: Promise<DecodedBlock>[] = [];
  let side: DecoderSide = {};
  for await (const { range, frame } of readFrames(container.source, planAll(container, stored), signal)) {
    signal?.throwIfAborted();
    const { index, planned } = range;
    const tensor = stored[index]!;
    const { name, codec } = tensor;
    if (!planned) {
      side = await container.sideIn(frame.slice(), range);
      continue;
    }
    const bytes = pool.take(frame.length, planned.endByte - planned.firstByte);
    bytes.set(frame);
    const own = await container.base.side(tensor, planned, side, signal);
    const job = { bytes, planned, tensor: { name, codec }, side: own, file };
    const decoded = container.base
      .explained(tensor, pool.run('decode', job))
      .then((elements) => ({ index, planned, elements }));
    decoded.catch(() => {}); // awaited later
    underWay.push(decoded);
    if (underWay.length > pool.depth) yield await underWay.shift()!;
  }
  for (const decoded of underWay) yield await decoded;
}

/** Yields the frames of all tensors in file order: blocks and, before the blocks that need them, parameter frames without `planned`. */
function* planAll(container: Container, stored: readonly StoredTensorEntry[]) {
  for (const [index, tensor] of stored.entries()) {
    const parameters = container.parametersOf(tensor);
    if (parameters) yield { index, planned: undefined, ...parameters };
    for (const planned of planTensor(tensor))
      yield { index, planned, start: planned.start, end: planned.end };
  }
}
