import { longChecksum } from '../container/frames.js';
import { type HttpFile, HttpSource } from '../io/http.js';

/** A file in the cache: what a page may show of it. */
export interface CachedFile {
  readonly address: string;
  readonly lengthBytes: number;
  /** All of it when equal to the length. */
  readonly haveBytes: number;
  /** When it was last opened. */
  readonly usedAt: Date;
}

/** What is kept beside a file's pieces. */
interface Entry {
  readonly address: string;
  readonly lengthBytes: number;
  readonly usedAt: number;
  /** Of every piece that was written, in order, hexadecimal. */
  readonly checksums: readonly string[];
}

const FOLDER = 'weightpress';
const ENTRY = 'entry.json';
/** A piece is a file of its own: it is there whole or not at all, and none is ever written twice. */
const PIECE_BYTES = 2 ** 23;

/**
 * Files that were downloaded, in the origin-private file system: they stay when the page is closed, an interrupted download goes on
 * behind its last whole piece, and pieces that are not as they were written are fetched again. Two pages may not fetch the same file
 * at once.
 */
export class DownloadCache {
  private constructor(private readonly folder: FileSystemDirectoryHandle) {}

  /** @returns undefined where the browser keeps nothing for this page: private windows, pages that are not served over https. */
  static async open(): Promise<DownloadCache | undefined> {
    try {
      if (!crypto.subtle) return;
      const root = await navigator.storage.getDirectory();
      return new DownloadCache(await root.getDirectoryHandle(FOLDER, { create: true }));
    } catch {
      return;
    }
  }

  /** What it holds, last used first. */
  async list(): Promise<CachedFile[]> {
    const files: CachedFile[] = [];
    for await (const handle of this.folder.values()) {
      const entry =
        handle.kind === 'directory' ? await readEntry(handle as FileSystemDirectoryHandle) : undefined;
      if (!entry) continue;
      const { address, lengthBytes, usedAt, checksums } = entry;
      const haveBytes = Math.min(lengthBytes, checksums.length * PIECE_BYTES);
      files.push({ address, lengthBytes, haveBytes, usedAt: new Date(usedAt) });
    }
    return files.sort((a, b) => Number(b.usedAt) - Number(a.usedAt));
  }

  async remove(address: string): Promise<void> {
    await this.folder.removeEntry(await nameOf(address), { recursive: true }).catch(() => {}); // none is there
  }

  /** Removes what was used longest ago until no more than `mostBytes` are kept. */
  async evict(mostBytes: number): Promise<void> {
    let kept = 0;
    for (const { address, haveBytes } of await this.list()) {
      kept += haveBytes;
      if (kept > mostBytes) await this.remove(address);
    }
  }

  /**
   * All of a file: what is there is checked, the rest is fetched and kept.
   * @throws {InputError} when it cannot be had; what came until then is kept.
   */
  async fetch(
    address: string,
    file: HttpFile,
    onDownload?: (doneBytes: number, totalBytes: number) => void,
    signal?: AbortSignal,
  ): Promise<Blob> {
    const name = await nameOf(address);
    const { byteLength: lengthBytes } = file;
    const before = await readEntry(await this.folder.getDirectoryHandle(name, { create: true }));
    if (before && before.lengthBytes !== lengthBytes) await this.remove(address); // another file has that address now
    const folder = await this.folder.getDirectoryHandle(name, { create: true });
    const source = new HttpSource(file);
    const pieces: Blob[] = [];
    const checksums: string[] = [];
    for (let start = 0; start < lengthBytes; start += PIECE_BYTES) {
      onDownload?.(start, lengthBytes);
      const end = Math.min(lengthBytes, start + PIECE_BYTES);
      const expected = before?.checksums[checksums.length];
      const kept =
        expected === undefined ? undefined : await soundPiece(folder, start, end - start, expected);
      if (kept) {
        checksums.push(expected!);
        pieces.push(kept);
        continue;
      }
      const bytes = await source.read(start, end, signal);
      checksums.push(digestOf(bytes));
      pieces.push(await write(folder, String(start), bytes));
      await write(folder, ENTRY, JSON.stringify({ address, lengthBytes, usedAt: Date.now(), checksums }));
    }
    await write(folder, ENTRY, JSON.stringify({ address, lengthBytes, usedAt: Date.now(), checksums }));
    onDownload?.(lengthBytes, lengthBytes);
    return new Blob(pieces);
  }
}

async function readEntry(folder: FileSystemDirectoryHandle): Promise<Entry | undefined> {
  try {
    const handle = await folder.getFileHandle(ENTRY);
    return JSON.parse(await (await handle.getFile()).text());
  } catch {
    return; // none yet, or one that was being written
  }
}

/** A piece, if it is there as it was written. */
async function soundPiece(
  folder: FileSystemDirectoryHandle,
  start: number,
  length: number,
  expected: string,
): Promise<Blob | undefined> {
  const handle = await folder.getFileHandle(String(start)).catch(() => undefined);
  const piece = await handle?.getFile();
  if (piece?.size !== length) return;
  return digestOf(new Uint8Array(await piece.arrayBuffer())) === expected ? piece : undefined;
}

async function write(
  folder: FileSystemDirectoryHandle,
  name: string,
  content: Uint8Array | string,
): Promise<Blob> {
  const handle = await folder.getFileHandle(name, { create: true });
  const writable = await handle.createWritable();
  await writable.write(content as Uint8Array<ArrayBuffer> | string);
  await writable.close();
  return handle.getFile();
}

const digestOf = (bytes: Uint8Array) => longChecksum(bytes, 0n).toString(16);

/** A file's name for an address, which may be of any length. */
async function nameOf(address: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(address));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
