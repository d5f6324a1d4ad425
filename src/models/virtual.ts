import { type ByteSource, checkRange } from '../core/byte-source.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import type { TensorInfo } from '../core/model.js';
import { writeHeader } from './safetensors/writer.js';
import type { WeightSource } from './stored-model.js';

/** A tensor of a file in another format. */
export interface VirtualTensor extends Omit<TensorInfo, 'lengthBytes'> {
  /** Little-endian elements, row-major: bytes `start` to `end` of them. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
}

/**
 * Weights of another format as the safetensors file that they would be: everything that works on those works on them, and what is
 * restored is that file. Nothing is converted before it is read.
 * @param name of the file they would be. @param source what they are read from; it is closed with the result.
 */
export function virtualSafetensors(
  name: string,
  source: ByteSource,
  tensors: readonly VirtualTensor[],
): WeightSource {
  const header = writeHeader(
    tensors.map(({ name: own, dtype, shape, storedBytes }) => ({
      name: own,
      dtype,
      shape,
      lengthBytes: elementCount(shape) * DTYPE_BYTES[dtype],
      ...(storedBytes !== undefined && { storedBytes }),
    })),
    { format: 'pt' },
  );
  const { headerBytes, fileBytes } = header;
  const read = async (start: number, end: number, signal?: AbortSignal) => {
    const bytes = new Uint8Array(end - start);
    bytes.set(headerBytes.subarray(start, Math.min(end, headerBytes.length)));
    for (const [i, { start: first, end: last }] of header.tensors.entries()) {
      const [from, to] = [Math.max(start, first), Math.min(end, last)];
      if (from < to) bytes.set(await tensors[i]!.read(from - first, to - first, signal), from - start);
    }
    return bytes;
  };
  return {
    name,
    headerBytes,
    tensors: header.tensors,
    source: new VirtualSource(source, fileBytes, read),
    storedBytes: source.byteLength,
  };
}

class VirtualSource implements ByteSource {
  constructor(
    private readonly under: ByteSource,
    readonly byteLength: number,
    private readonly readRange: (start: number, end: number, signal?: AbortSignal) => Promise<Uint8Array>,
  ) {}

  get name(): string {
    return this.under.name;
  }

  async read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    checkRange(this, start, end);
    return this.readRange(start, end, signal);
  }

  verify(signal?: AbortSignal): Promise<void> {
    return this.under.verify?.(signal) ?? Promise.resolve();
  }

  close(): Promise<void> {
    return this.under.close();
  }
}
