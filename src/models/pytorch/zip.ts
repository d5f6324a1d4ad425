import type { ByteSource } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { inflateWithin } from '../../core/inflate.js';

/** A file in a zip archive. */
export interface ZipEntry {
  readonly name: string;
  /** Size in the archive. */
  readonly storedBytes: number;
  /** Size after inflating. */
  readonly lengthBytes: number;
  readonly deflated: boolean;
  /** Offset of its local header. */
  readonly headerStart: number;
}

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const LOCATOR64_SIGNATURE = 0x07064b50;
const ENTRY_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
const END_BYTES = 22;
const LOCATOR64_BYTES = 20;
const END64_BYTES = 56;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const MAX_COMMENT_BYTES = 65535;
const FULL32 = 0xffffffff;

const MAX_ENTRIES = 1_000_000;
const MAX_DIRECTORY_BYTES = 2 ** 27;

/** Returns whether the first bytes of a file are those of a non-empty zip archive. */
export function isZip(prefix: Uint8Array): boolean {
  return prefix[0] === 0x50 && prefix[1] === 0x4b && prefix[2] === 3 && prefix[3] === 4;
}

/**
 * Reads the central directory of a zip archive, including zip64.
 * @throws {InputError} for duplicate names and names that leave the archive, and for entries that overlap or leave the file.
 */
export async function readZip(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const { start, end, count } = await findDirectory(source);
  const fail = failing(source.name);
  if (count > MAX_ENTRIES || end - start > MAX_DIRECTORY_BYTES)
    fail(`${count} entries in a directory of ${end - start} bytes are over the limit`);
  const bytes = await source.read(start, end);
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  let next = 0;
  for (let i = 0; i < count; i++) {
    if (next + ENTRY_BYTES > bytes.length || view.getUint32(next, true) !== ENTRY_SIGNATURE)
      fail(`the directory's entry ${i} is malformed`);
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((at) =>
      view.getUint16(next + at, true),
    ) as [number, number, number];
    const nameStart = next + ENTRY_BYTES;
    const extraStart = nameStart + nameBytes;
    const after = extraStart + extraBytes + commentBytes;
    if (after > bytes.length) fail(`the directory's entry ${i} is truncated`);
    const name = new TextDecoder().decode(bytes.subarray(nameStart, extraStart));
    if (!isInside(name)) fail(`the entry ${JSON.stringify(name.slice(0, 200))} would leave the archive`);
    if (entries.has(name)) fail(`duplicate entry ${JSON.stringify(name.slice(0, 200))}`);
    const method = view.getUint16(next + 10, true);
    if (method !== 0 && method !== 8)
      fail(`${name} has unsupported compression method ${method}, expected 0 or 8`);
    if (view.getUint16(next + 8, true) & 1) fail(`${name} is encrypted`);
    const sizes = [
      view.getUint32(next + 24, true),
      view.getUint32(next + 20, true),
      view.getUint32(next + 42, true),
    ];
    const [lengthBytes, storedBytes, headerStart] = widen(
      sizes,
      bytes.subarray(extraStart, extraStart + extraBytes),
      () => fail(`${name} has no zip64 sizes`),
    ) as [number, number, number];
    if (!(method === 8 || storedBytes === lengthBytes))
      fail(`${name} is not compressed, but has ${storedBytes} stored bytes and ${lengthBytes} bytes`);
    entries.set(name, { name, storedBytes, lengthBytes, deflated: method === 8, headerStart });
    next = after;
  }
  checkOverlap(entries, start, fail);
  return entries;
}

/** Returns the offset of an entry's bytes. @throws {InputError} when its local header is missing. */
export async function entryStart(
  source: ByteSource,
  { name, headerStart, storedBytes }: ZipEntry,
): Promise<number> {
  const view = viewOf(await source.read(headerStart, headerStart + LOCAL_BYTES));
  if (view.getUint32(0, true) !== LOCAL_SIGNATURE)
    failing(source.name)(`${name} has no local header at the offset in the directory`);
  const start = headerStart + LOCAL_BYTES + view.getUint16(26, true) + view.getUint16(28, true);
  if (start + storedBytes > source.byteLength) failing(source.name)(`${name} leaves the file`);
  return start;
}

/** Reads all bytes of an entry. @throws {InputError} when there are more than `maxBytes`, or it does not inflate. */
export async function readEntry(source: ByteSource, entry: ZipEntry, maxBytes: number): Promise<Uint8Array> {
  const fail = failing(source.name);
  const { name, storedBytes, lengthBytes, deflated } = entry;
  if (lengthBytes > maxBytes || storedBytes > maxBytes)
    fail(`${name} of ${Math.max(lengthBytes, storedBytes)} bytes is over the limit of ${maxBytes}`);
  const start = await entryStart(source, entry);
  const stored = await source.read(start, start + storedBytes);
  if (!deflated) return stored;
  const inflated = inflateWithin('deflate', stored, lengthBytes);
  if (inflated instanceof Uint8Array && inflated.length === lengthBytes) return inflated;
  return fail(`${name} does not inflate to ${lengthBytes} bytes`);
}

async function findDirectory(source: ByteSource) {
  const fail = failing(source.name);
  const from = Math.max(0, source.byteLength - END_BYTES - MAX_COMMENT_BYTES - LOCATOR64_BYTES);
  const tail = await source.read(from, source.byteLength);
  const view = viewOf(tail);
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (view.getUint32(at, true) !== END_SIGNATURE) continue;
    const end = {
      count: view.getUint16(at + 10, true),
      length: view.getUint32(at + 12, true),
      start: view.getUint32(at + 16, true),
    };
    const locator = at - LOCATOR64_BYTES;
    const has64 = locator >= 0 && view.getUint32(locator, true) === LOCATOR64_SIGNATURE;
    const { count, length, start } = has64
      ? await readEnd64(source, Number(view.getBigUint64(locator + 8, true)))
      : end;
    if (!(start + length <= from + at)) fail(`the directory of ${length} bytes at ${start} leaves the file`);
    return { start, end: start + length, count };
  }
  return fail('no end of the central directory found');
}

async function readEnd64(source: ByteSource, at: number) {
  const fail = failing(source.name);
  if (!(at + END64_BYTES <= source.byteLength)) fail(`the zip64 directory at ${at} leaves the file`);
  const view = viewOf(await source.read(at, at + END64_BYTES));
  if (view.getUint32(0, true) !== END64_SIGNATURE) fail('the zip64 directory is malformed');
  const [count, length, start] = [32, 40, 48].map((place) => Number(view.getBigUint64(place, true))) as [
    number,
    number,
    number,
  ];
  return { count, length, start };
}

/** Replaces sizes that do not fit in 32 bits with those of the zip64 extra field. */
function widen(sizes: readonly number[], extra: Uint8Array, fail: () => never): number[] {
  if (!sizes.includes(FULL32)) return [...sizes];
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const [id, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    if (id === 1) {
      let next = at + 4;
      return sizes.map((size) => {
        if (size !== FULL32) return size;
        if (next + 8 > Math.min(extra.length, at + 4 + length)) fail();
        next += 8;
        return Number(view.getBigUint64(next - 8, true));
      });
    }
    at += 4 + length;
  }
  return fail();
}

function checkOverlap(
  entries: ReadonlyMap<string, ZipEntry>,
  directoryStart: number,
  fail: (what: string) => never,
): void {
  const ordered = [...entries.values()].sort((a, b) => a.headerStart - b.headerStart);
  for (const [i, { name, headerStart, storedBytes }] of ordered.entries()) {
    const end = headerStart + LOCAL_BYTES + storedBytes;
    if (!(end <= (ordered[i + 1]?.headerStart ?? directoryStart))) fail(`${name} overlaps the next entry`);
  }
}

/** Returns whether a name stays inside the archive as a path. */
function isInside(name: string): boolean {
  return name.length > 0 && !/^[/\\]|^[a-z]:|\\|\0/i.test(name) && !name.split('/').includes('..');
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function failing(file: string) {
  return (what: string): never => {
    throw new InputError(`malformed zip archive: ${what}`, { file });
  };
}
