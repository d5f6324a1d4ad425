import { InputError } from '../errors.js';
import type { ByteSource } from '../io/source.js';
import { DTYPE_BYTES, type Dtype, elementCount } from './dtype.js';
import type { WeightSource } from './stored-model.js';

/** A tensor of a file in another format. */
export interface VirtualTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
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
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  const places = tensors.map((tensor) => {
    const { dtype, shape } = tensor;
    const lengthBytes = elementCount(shape) * DTYPE_BYTES[dtype];
    entries[tensor.name] = { dtype, shape, data_offsets: [offset, offset + lengthBytes] };
    offset += lengthBytes;
    return { tensor, lengthBytes, start: offset - lengthBytes };
  });
  const headerBytes = headerOf(entries);
  const stored = places.map(({ tensor: { name: own, dtype, shape }, lengthBytes, start }) => ({
    name: own,
    dtype,
    shape,
    lengthBytes,
    start: headerBytes.length + start,
    end: headerBytes.length + start + lengthBytes,
  }));
  const read = async (start: number, end: number, signal?: AbortSignal) => {
    const bytes = new Uint8Array(end - start);
    bytes.set(headerBytes.subarray(start, Math.min(end, headerBytes.length)));
    for (const [i, { tensor, lengthBytes }] of places.entries()) {
      const first = stored[i]!.start;
      const [from, to] = [Math.max(start, first), Math.min(end, first + lengthBytes)];
      if (from < to) bytes.set(await tensor.read(from - first, to - first, signal), from - start);
    }
    return bytes;
  };
  const byteLength = headerBytes.length + offset;
  return { name, headerBytes, tensors: stored, source: new VirtualSource(source, byteLength, read) };
}

/** A length of eight bytes and JSON, padded so that tensors are aligned. */
function headerOf(entries: Readonly<Record<string, unknown>>): Uint8Array {
  const json = JSON.stringify(entries);
  const text = new TextEncoder().encode(
    json.padEnd(json.length + ((8 - (new TextEncoder().encode(json).length % 8)) % 8)),
  );
  const header = new Uint8Array(8 + text.length);
  new DataView(header.buffer).setBigUint64(0, BigInt(text.length), true);
  header.set(text, 8);
  return header;
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
    if (!(start >= 0 && start <= end && end <= this.byteLength))
      throw new InputError(`range lies outside the ${this.byteLength} bytes of its weights`, {
        file: this.name,
        start,
        end,
      });
    return this.readRange(start, end, signal);
  }

  close(): Promise<void> {
    return this.under.close();
  }
}
