import { type ByteSource, checkRange } from '../core/byte-source.js';
import { DTYPE_BYTES, elementCount } from '../core/dtype.js';
import type { TensorInfo } from '../core/model.js';
import { writeHeader } from './safetensors/writer.js';
import type { WeightSource } from './stored-model.js';

/** A tensor of a file in another format, which is converted when read. */
export interface VirtualTensor extends Omit<TensorInfo, 'lengthBytes'> {
  /** Returns bytes `start` to `end` (exclusive) of its little-endian elements, row-major. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
}

/**
 * Presents weights of another format as a safetensors file, for everything that works on safetensors. Tensors are converted on reading.
 * @param name of the safetensors file. @param source the underlying file; it is closed with the result.
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
    for (let i = firstAfter(header.tensors, start); i < tensors.length; i++) {
      const { start: first, end: last } = header.tensors[i]!;
      if (first >= end) break;
      const [from, to] = [Math.max(start, first), Math.min(end, last)];
      if (from < to) bytes.set(await tensors[i]!.read(from - first, to - first, signal), from - start);
    }
    return bytes;
  };
  return {
    name,
    headerBytes,
    tensors: header.tensors.map((tensor, i) => {
      const { holds } = tensors[i]!;
      return holds ? { ...tensor, holds } : tensor;
    }),
    source: new VirtualSource(source, fileBytes, read),
    storedBytes: source.byteLength,
  };
}

/** Returns the index of the first tensor that ends behind byte `at`. */
function firstAfter(tensors: readonly { readonly end: number }[], at: number): number {
  let [low, high] = [0, tensors.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tensors[middle]!.end <= at) low = middle + 1;
    else high = middle;
  }
  return low;
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
