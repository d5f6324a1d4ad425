import type { ByteSource } from '../../core/byte-source.js';
import { DTYPE_BYTES, elementCount } from '../../core/dtype.js';
import { InputError } from '../../core/errors.js';
import type { VirtualTensor } from '../virtual.js';
import { type CodedElements, type OnnxTensor, plainElements } from './tensor.js';

/** Limit of elements that are coded one by one: they are decoded together, in memory. */
const MAX_CODED_BYTES = 2 ** 26;

/** Opens tensors of an ONNX file. */
export class OnnxElements {
  /** The tensor decoded last: reads of one follow each other. */
  private decoded: { readonly start: number; readonly bytes: Uint8Array } | undefined;

  /** @param outside the opened files beside it, by location. */
  constructor(
    private readonly source: ByteSource,
    private readonly outside: ReadonlyMap<string, ByteSource> = new Map(),
  ) {}

  /**
   * Opens a tensor to be read by ranges. Types without a codec come as bytes.
   * @throws {InputError} for one whose elements are not in the file as its header says, or in a file that is not there.
   */
  open(tensor: OnnxTensor): VirtualTensor {
    const { name, type, lengthBytes, start, coded, external } = tensor;
    const plain = plainElements(tensor);
    if (!plain) return this.fail(tensor, `elements of ${type} are not read`);
    const at = { name, ...plain };
    if (!lengthBytes) return { ...at, read: async () => new Uint8Array(0) };
    if (external) return { ...at, ...this.inOther(tensor) };
    if (start !== undefined)
      return { ...at, read: (from, to, signal) => this.source.read(start + from, start + to, signal) };
    if (!coded) return this.fail(tensor, `its elements are not ${lengthBytes} bytes, or not in one piece`);
    return {
      ...at,
      read: async (from, to, signal) =>
        (await this.decode(tensor, coded, elementCount(plain.shape), DTYPE_BYTES[plain.dtype], signal)).slice(
          from,
          to,
        ),
    };
  }

  private inOther(tensor: OnnxTensor): Pick<VirtualTensor, 'read'> {
    const { location, offset, lengthBytes } = tensor.external!;
    const file = shortened(location);
    const other = this.outside.get(location);
    if (!other) return this.fail(tensor, `its elements are in ${file}, which is another file`);
    if (offset === undefined || lengthBytes !== tensor.lengthBytes)
      return this.fail(
        tensor,
        `expected ${tensor.lengthBytes} bytes in ${file}, found offset ${offset}, length ${lengthBytes}`,
      );
    if (offset + lengthBytes > other.byteLength)
      return this.fail(
        tensor,
        `ends at byte ${offset + lengthBytes} of ${file}, beyond its ${other.byteLength} bytes`,
      );
    return { read: (from, to, signal) => other.read(offset + from, offset + to, signal) };
  }

  private async decode(
    tensor: OnnxTensor,
    { start, end }: CodedElements,
    count: number,
    width: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    if (this.decoded?.start === start) return this.decoded.bytes;
    if (Math.max(end - start, count * width) > MAX_CODED_BYTES)
      this.fail(tensor, `elements coded one by one, over the limit of ${MAX_CODED_BYTES} bytes`);
    const bytes = decodeIntegers(await this.source.read(start, end, signal), count, width);
    if (!bytes) return this.fail(tensor, `expected ${count} elements, found another number`);
    this.decoded = { start, bytes };
    return bytes;
  }

  private fail({ name }: OnnxTensor, what: string): never {
    throw new InputError(what, { file: this.source.name, tensor: name });
  }
}

/** Longest location in a message. */
const SHOWN_CHARACTERS = 200;

/** Returns a location for a message. */
export function shortened(location: string): string {
  return location.length > SHOWN_CHARACTERS ? `${location.slice(0, SHOWN_CHARACTERS)}…` : location;
}

/** Returns integers of varying length as `count` of `width` bytes, little-endian; undefined if they are not as many. */
function decodeIntegers(coded: Uint8Array, count: number, width: number): Uint8Array | undefined {
  const bytes = new Uint8Array(count * width);
  let at = 0;
  for (let i = 0; i < count; i++) {
    let [low, high, shift] = [0, 0, 0];
    let byte = 128;
    for (; byte >= 128; shift += 7) {
      if (at === coded.length || shift > 63) return undefined;
      byte = coded[at++]!;
      const seven = byte & 127;
      if (shift < 32) low |= seven << shift;
      if (shift > 25) high |= shift < 32 ? seven >>> (32 - shift) : seven << (shift - 32);
    }
    for (let k = 0; k < width; k++) bytes[i * width + k] = k < 4 ? low >>> (8 * k) : high >>> (8 * (k - 4));
  }
  return at === coded.length ? bytes : undefined;
}
