import { crc32, deflateRawSync } from 'node:zlib';
import { joined, setUint } from './mutate.js';

// Writers of mutated files: they turn parts into bytes without checks, so wrong parts give wrong files.

export const text = (value) => Uint8Array.from(Buffer.from(value));

export function uint(value, width) {
  const bytes = new Uint8Array(width);
  setUint(bytes, 0, width, BigInt(value));
  return bytes;
}

/** Writes a safetensors file. `header`: bytes; `length`: the length to declare. */
export const safetensors = ({ header, data, length = BigInt(header.length) }) =>
  joined(uint(length, 8), header, data);

const CRC = crc32 ?? slowCrc32; // Node 20 has none before 20.15

function slowCrc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}

/** An entry of a zip archive with all its declared fields. */
export function zipEntry(name, content, deflated = false) {
  const bytes = deflated ? Uint8Array.from(deflateRawSync(content)) : content;
  return {
    name: text(name),
    bytes,
    method: deflated ? 8 : 0,
    flags: 0,
    crc: CRC(content),
    stored: BigInt(bytes.length),
    length: BigInt(content.length),
    extra: new Uint8Array(),
    localExtra: new Uint8Array(),
    moved: 0n,
    zip64: false,
  };
}

/** Writes a zip archive. `end` replaces fields of the end record; `zip64` adds the zip64 end record. */
export function zip(entries, { end = {}, zip64 = false, comment = new Uint8Array() } = {}) {
  const parts = [];
  const directory = [];
  let at = 0n;
  for (const entry of entries) {
    const sizes = [uint(entry.crc, 4), uint(entry.stored, 4), uint(entry.length, 4)];
    const common = [
      uint(entry.flags, 2),
      uint(entry.method, 2),
      uint(0, 4),
      ...sizes,
      uint(entry.name.length, 2),
    ];
    const local = joined(
      uint(0x04034b50, 4),
      uint(20, 2),
      ...common,
      uint(entry.localExtra.length, 2),
      entry.name,
      entry.localExtra,
      entry.bytes,
    );
    directory.push(zipListing(entry, common, at + entry.moved));
    parts.push(local);
    at += BigInt(local.length);
  }
  const listing = joined(...directory);
  const said = { count: BigInt(entries.length), size: BigInt(listing.length), start: at, ...end };
  return joined(
    ...parts,
    listing,
    ...(zip64 ? zip64End(said, at + BigInt(listing.length)) : []),
    zipEnd(said, comment),
  );
}

function zipListing(entry, common, offset) {
  const full = 0xffffffffn;
  const wide = entry.zip64
    ? joined(uint(1, 2), uint(24, 2), uint(entry.length, 8), uint(entry.stored, 8), uint(offset, 8))
    : entry.extra;
  const sizes = entry.zip64
    ? [...common.slice(0, 4), uint(full, 4), uint(full, 4), ...common.slice(6)]
    : common;
  return joined(
    uint(0x02014b50, 4),
    uint(20, 2),
    uint(20, 2),
    ...sizes,
    uint(wide.length, 2),
    uint(0, 10),
    uint(entry.zip64 ? full : offset, 4),
    entry.name,
    wide,
  );
}

const zipEnd = ({ count, size, start }, comment) =>
  joined(
    uint(0x06054b50, 4),
    uint(0, 4),
    uint(count, 2),
    uint(count, 2),
    uint(size, 4),
    uint(start, 4),
    uint(comment.length, 2),
    comment,
  );

const zip64End = ({ count, size, start }, at) => [
  joined(
    uint(0x06064b50, 4),
    uint(44, 8),
    uint(45, 2),
    uint(45, 2),
    uint(0, 8),
    uint(count, 8),
    uint(count, 8),
    uint(size, 8),
    uint(start, 8),
  ),
  joined(uint(0x07064b50, 4), uint(0, 4), uint(at, 8), uint(1, 4)),
];

/** Strings, and values after the number of their type, as GGUF has them. */
const ggufText = (value) => joined(uint(value.length, 8), text(value));

const GGUF_SCALARS = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };

/** A value: `{type, value}`, or `{type: 9, of, count, items}`. Floats are given by their bits. */
export function ggufValue({ type, value, of, count, items }) {
  if (type === 8) return ggufText(value);
  if (type === 9)
    return joined(uint(of, 4), uint(count ?? items.length, 8), ...items.map((item) => ggufValue(item)));
  return uint(value, GGUF_SCALARS[type] ?? 4);
}

/** A header of counts, keys and tensors, then data where the alignment has it. */
export function gguf({ version, tensorCount, keyCount, keys, tensors, data, alignment }) {
  const header = joined(
    text('GGUF'),
    uint(version, 4),
    uint(tensorCount ?? tensors.length, 8),
    uint(keyCount ?? keys.length, 8),
    ...keys.map(({ key, ...value }) => joined(ggufText(key), uint(value.type, 4), ggufValue(value))),
    ...tensors.map(({ name, dimensions, rank = dimensions.length, type, offset }) =>
      joined(
        ggufText(name),
        uint(rank, 4),
        ...dimensions.map((n) => uint(n, 8)),
        uint(type, 4),
        uint(offset, 8),
      ),
    ),
  );
  return joined(header, new Uint8Array((alignment - (header.length % alignment)) % alignment), data);
}

function varint(value) {
  const bytes = [];
  let left = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(left & 127n) | (left > 127n ? 128 : 0));
    left >>= 7n;
  } while (left);
  return Uint8Array.from(bytes);
}

/** Writes a message of protocol buffers. Fields are [number, value, length]: a bigint is a varint, bytes and texts have a length, a list is a message. */
export function protobuf(fields) {
  return joined(
    ...fields.flatMap(([number, value, length]) => {
      if (typeof value === 'bigint') return [varint(BigInt(number) * 8n), varint(value)];
      const bytes = Array.isArray(value) ? protobuf(value) : typeof value === 'string' ? text(value) : value;
      return [varint(BigInt(number) * 8n + 2n), varint(length ?? BigInt(bytes.length)), bytes];
    }),
  );
}
