import { InputError } from '../../core/errors.js';
import type { TensorInfo } from '../../core/model.js';
import { HEADER_LIMIT_BYTES, LENGTH_FIELD_BYTES, type StoredTensor } from './header.js';

/** The reference implementation pads its JSON with spaces to this, so that tensors begin aligned. */
const ALIGNMENT_BYTES = 8;

export interface WrittenHeader {
  /** Length field, JSON, padding: the front of the file. The tensors' bytes follow, one after another. */
  readonly headerBytes: Uint8Array;
  /** The tensors given, with their absolute positions in the file. */
  readonly tensors: readonly StoredTensor[];
  readonly fileBytes: number;
}

/**
 * The header of a safetensors file that holds `tensors` in the order given, in the reference implementation's
 * spelling: compact JSON, `__metadata__` first, fields dtype, shape, data_offsets.
 * @throws {InputError} on names that the format cannot hold: twice the same, or `__metadata__`.
 */
export function writeHeader(
  tensors: readonly TensorInfo[],
  metadata?: Readonly<Record<string, string>>,
): WrittenHeader {
  const entries = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  const names = new Set(['__metadata__']);
  let offset = 0;
  for (const { name, dtype, shape, lengthBytes } of tensors) {
    if (names.has(name)) throw new InputError('the name is taken in this file', { tensor: name });
    names.add(name);
    const data_offsets = [offset, offset + lengthBytes];
    // Written entry by entry: an object would put names such as "10" first, and `__proto__` would set its prototype.
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets })}`);
    offset += lengthBytes;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const jsonBytes = Math.ceil(json.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  if (jsonBytes > HEADER_LIMIT_BYTES)
    throw new InputError(
      `a header of ${jsonBytes} bytes is over the format's limit of ${HEADER_LIMIT_BYTES}`,
    );
  const headerBytes = new Uint8Array(LENGTH_FIELD_BYTES + jsonBytes).fill(0x20);
  new DataView(headerBytes.buffer).setBigUint64(0, BigInt(jsonBytes), true);
  headerBytes.set(json, LENGTH_FIELD_BYTES);
  return { headerBytes, tensors: place(tensors, headerBytes.length), fileBytes: headerBytes.length + offset };
}

function place(tensors: readonly TensorInfo[], dataStart: number): StoredTensor[] {
  let start = dataStart;
  return tensors.map((tensor) => {
    const end = start + tensor.lengthBytes;
    const placed = { ...tensor, start, end };
    start = end;
    return placed;
  });
}
