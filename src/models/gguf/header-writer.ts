import { InputError } from '../../core/errors.js';
import { type GgufType, numberOfType } from './types.js';

type Scalar = number | boolean | string;

/** A metadata entry; an array of `type` if the value is an array. */
export interface GgufEntry {
  readonly key: string;
  readonly type: 'uint8' | 'uint32' | 'int32' | 'float32' | 'bool' | 'string';
  readonly value: Scalar | readonly Scalar[];
}

/** A tensor to write. */
export interface GgufTensorEntry {
  readonly name: string;
  readonly type: GgufType;
  /** Row-major: consecutive elements are along the last dimension. */
  readonly shape: readonly number[];
  readonly lengthBytes: number;
}

/** Alignment of tensors in the file. */
export const ALIGNMENT_BYTES = 32;
const VERSION = 3;
const ARRAY = 9;

/** Number and writer of each value type. */
const VALUES: Readonly<Record<GgufEntry['type'], readonly [number, (writer: Writer, value: never) => void]>> =
  {
    uint8: [0, (writer, value: number) => writer.bytes(Uint8Array.of(value))],
    uint32: [4, (writer, value: number) => writer.uint32(value)],
    int32: [5, (writer, value: number) => writer.uint32(value)],
    float32: [6, (writer, value: number) => writer.float32(value)],
    bool: [7, (writer, value: boolean) => writer.bytes(Uint8Array.of(Number(value)))],
    string: [8, (writer, value: string) => writer.text(value)],
  };

/**
 * Returns the header of a GGUF file, padded to the start of the tensors, which follow in the given order, each padded to
 * {@link ALIGNMENT_BYTES}. @throws {InputError} on duplicate tensor names.
 */
export function writeGgufHeader(
  entries: readonly GgufEntry[],
  tensors: readonly GgufTensorEntry[],
): Uint8Array {
  const writer = new Writer();
  writer.bytes(new TextEncoder().encode('GGUF'));
  writer.uint32(VERSION);
  writer.uint64(tensors.length);
  writer.uint64(entries.length);
  for (const entry of entries) writeEntry(writer, entry);
  const names = new Set<string>();
  let offset = 0;
  for (const { name, type, shape, lengthBytes } of tensors) {
    if (names.has(name)) throw new InputError('duplicate name', { tensor: name });
    names.add(name);
    writer.text(name);
    writer.uint32(shape.length);
    for (const dimension of [...shape].reverse()) writer.uint64(dimension);
    writer.uint32(numberOfType(type));
    writer.uint64(offset);
    offset = aligned(offset + lengthBytes);
  }
  return writer.finish();
}

/** Rounds an offset up to the alignment. */
export function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

function writeEntry(writer: Writer, { key, type, value }: GgufEntry): void {
  const [number, write] = VALUES[type];
  writer.text(key);
  if (Array.isArray(value)) {
    writer.uint32(ARRAY);
    writer.uint32(number);
    writer.uint64(value.length);
    for (const element of value) write(writer, element as never);
  } else {
    writer.uint32(number);
    write(writer, value as never);
  }
}

/** Buffer of little-endian numbers and strings, which doubles when full. */
class Writer {
  private memory = new Uint8Array(2 ** 16);
  private view = new DataView(this.memory.buffer);
  private length = 0;

  private take(length: number): number {
    const at = this.length;
    this.length += length;
    if (this.length > this.memory.length) {
      const larger = new Uint8Array(2 * this.length);
      larger.set(this.memory);
      this.memory = larger;
      this.view = new DataView(larger.buffer);
    }
    return at;
  }

  bytes(bytes: Uint8Array): void {
    const at = this.take(bytes.length);
    this.memory.set(bytes, at);
  }

  uint32(value: number): void {
    const at = this.take(4);
    this.view.setUint32(at, value, true);
  }

  uint64(value: number): void {
    const at = this.take(8);
    this.view.setBigUint64(at, BigInt(value), true);
  }

  float32(value: number): void {
    const at = this.take(4);
    this.view.setFloat32(at, value, true);
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.uint64(bytes.length);
    this.bytes(bytes);
  }

  finish(): Uint8Array {
    const padded = new Uint8Array(aligned(this.length));
    padded.set(this.memory.subarray(0, this.length));
    return padded;
  }
}
