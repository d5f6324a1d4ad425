import { InputError } from '../../core/errors.js';
import type { TensorInfo } from '../../core/model.js';
import { HEADER_LIMIT_BYTES, LENGTH_FIELD_BYTES, type StoredTensor } from './header.js';

/** The JSON is padded with spaces to this, as in the reference implementation, so that tensors are aligned. */
const ALIGNMENT_BYTES = 8;

export interface WrittenHeader {
  /** Length field, JSON and padding. The tensors' bytes follow. */
  readonly headerBytes: Uint8Array;
  /** The given tensors with their byte ranges in the file. */
  readonly tensors: readonly StoredTensor[];
  readonly fileBytes: number;
}

/**
 * Returns the header of a safetensors file with `tensors` in the given order, as the reference implementation writes it: compact JSON,
 * `__metadata__` first, then entries with dtype, shape and data_offsets.
 * @throws {InputError} on duplicate names, a tensor named `__metadata__`, or a header over {@link HEADER_LIMIT_BYTES}.
 */
export function writeHeader(
  tensors: readonly TensorInfo[],
  metadata?: Readonly<Record<string, string>>,
): WrittenHeader {
  const entries = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  const names = new Set(['__metadata__']);
  let offset = 0;
  for (const { name, dtype, shape, lengthBytes } of tensors) {
    if (names.has(name)) throw new InputError('duplicate name', { tensor: name });
    names.add(name);
    const data_offsets = [offset, offset + lengthBytes];
    // not as one object, which would put names such as "10" first, and whose prototype `__proto__` would set
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets })}`);
    offset += lengthBytes;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const jsonBytes = Math.ceil(json.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  if (jsonBytes > HEADER_LIMIT_BYTES)
    throw new InputError(
      `the header has ${jsonBytes} bytes, over the format's limit of ${HEADER_LIMIT_BYTES}`,
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
