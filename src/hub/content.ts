import type { Hash } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { ByteSource } from '../core/byte-source.js';
import { IntegrityError } from '../core/errors.js';
import { openFile } from '../io/node/file.js';
import { digestOf, type HubFile } from './repository.js';

/** What names content on the Hub: the SHA-256 of a large file, the git object of a small one. */
export type Content = Pick<HubFile, 'etag' | 'sha256' | 'lengthBytes'>;

/** Bytes that are digested at once. */
const PIECE_BYTES = 2 ** 22;

/** Files whose content this process has found right: which they are, and when they were last written. */
const checked = new Set<string>();

/**
 * Opens a file of the cache whose content is what it has to be: all of it is read once in a process. Another run may give the same
 * content a new file meanwhile, which is no reason to refuse this one.
 * @throws {IntegrityError} when it is other content, saying what to do.
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
    new IntegrityError(`${what}: it is damaged; delete it, and it is fetched again`, { file: path });
  if (source.byteLength !== content.lengthBytes)
    throw wrong(`expected ${content.lengthBytes} bytes, found ${source.byteLength}`);
  const hash = digestOf(content);
  await feed(hash, source, source.byteLength);
  const found = hash.digest('hex');
  if (found !== content.etag) throw wrong(`expected the content ${content.etag}, found ${found}`);
  await source.verify?.();
  checked.add(`${content.etag} ${key}`);
}

/** The first `length` bytes of a source into a digest. */
export async function feed(hash: Hash, source: ByteSource, length: number): Promise<void> {
  for (let start = 0; start < length; start += PIECE_BYTES)
    hash.update(await source.read(start, Math.min(length, start + PIECE_BYTES)));
}

/**
 * What the name of a file's blob says of its content; undefined where names say nothing, as where links are not allowed and the
 * file itself lies in the snapshot.
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
