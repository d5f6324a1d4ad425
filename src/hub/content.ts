import type { Hash } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { ByteSource } from '../core/byte-source.js';
import { IntegrityError } from '../core/errors.js';
import { openFile } from '../io/node/file.js';
import { digestOf, type HubFile } from './repository.js';

/** Identifies content on the Hub by the SHA-256 of a large file or the git object of a small one. */
export type Content = Pick<HubFile, 'etag' | 'sha256' | 'lengthBytes'>;

/** Bytes hashed per step. */
const PIECE_BYTES = 2 ** 22;

/** Files whose content this process has verified, with their modification times. */
const checked = new Set<string>();

/**
 * Opens a file of the cache and verifies its digest, once per process. The file may be replaced by another run in the meantime, since
 * the replacement has the same content.
 * @throws {IntegrityError} when the digest does not match.
 */
export async function openContent(path: string, content: Content): Promise<ByteSource> {
  const source = await openFile(path, { followsName: false });
  try {
    await checkContent(source, path, content);
    return source;
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function checkContent(source: ByteSource, path: string, content: Content): Promise<void> {
  const key = await versionOf(path);
  if (checked.has(`${content.etag} ${key}`)) return;
  const wrong = (what: string) =>
    new IntegrityError(`${what}: damaged cache file; delete it to download it again`, { file: path });
  if (source.byteLength !== content.lengthBytes)
    throw wrong(`expected ${content.lengthBytes} bytes, found ${source.byteLength}`);
  const hash = digestOf(content);
  await updateHash(hash, source, source.byteLength);
  const found = hash.digest('hex');
  if (found !== content.etag) throw wrong(`expected digest ${content.etag}, found ${found}`);
  await source.verify?.();
  checked.add(`${content.etag} ${key}`);
}

/** Updates a hash with the first `length` bytes of a source. */
export async function updateHash(hash: Hash, source: ByteSource, length: number): Promise<void> {
  for (let start = 0; start < length; start += PIECE_BYTES)
    hash.update(await source.read(start, Math.min(length, start + PIECE_BYTES)));
}

/**
 * Returns the expected content of a cached file from its blob's name; undefined if it is not a link to a blob, as on systems without
 * links.
 */
export async function contentByName(path: string): Promise<Content | undefined> {
  const blob = await realpath(path).catch(() => path);
  const etag = basename(blob);
  if (basename(dirname(blob)) !== 'blobs' || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) return;
  const { size } = await stat(blob);
  return { etag, sha256: etag.length === 64 ? etag : undefined, lengthBytes: size };
}

async function versionOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
  return `${dev} ${ino} ${size} ${mtimeNs}`;
}
