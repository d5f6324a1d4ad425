import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { xxh64 } from './xxh64.js';

// .wpk files with directories that a test makes wrong, all checksums right; written without the writer under test.

// biome-ignore lint/suspicious/noExplicitAny: a directory that a test makes wrong
type Anything = any;

export const u64 = (n: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(n);
  return bytes;
};

export const frameOf = (type: number, payload: Buffer) => {
  const header = Buffer.alloc(8);
  header[0] = type;
  header.writeUInt32LE(payload.length, 4);
  return Buffer.concat([header, u64(xxh64(payload, BigInt(type) + 256n * BigInt(payload.length))), payload]);
};

export const trailerOf = (start: number | bigint, length: number | bigint, whole: number | bigint) => {
  const fields = Buffer.concat([
    u64(BigInt(start)),
    u64(BigInt(length)),
    u64(BigInt(whole)),
    Buffer.alloc(8),
  ]);
  return Buffer.concat([fields, u64(xxh64(fields, 0n)), Buffer.from('WPK\nEND\n')]);
};

export const directoryStart = (file: Buffer) => Number(file.readBigUInt64LE(file.length - 48));

/** The file with another directory. */
export function withDirectory(
  file: Buffer,
  change: (directory: Anything) => void,
  text = (value: Anything) => JSON.stringify(value),
): Buffer {
  const start = directoryStart(file);
  const directory = JSON.parse(inflateRawSync(file.subarray(start + 16, file.length - 48)).toString());
  change(directory);
  return sealed(file, deflateRawSync(text(directory)));
}

/** The file with other bytes where its directory was. */
export function sealed(file: Buffer, payload: Buffer): Buffer {
  const start = directoryStart(file);
  const whole = frameOf(5, payload);
  return Buffer.concat([
    file.subarray(0, start),
    whole,
    trailerOf(start, whole.length, start + whole.length + 48),
  ]);
}
