import type { ByteSource } from '../core/byte-source.js';
import { sha256 } from '../core/web-sha256.js';
import type { HttpFile } from '../io/http.js';
import { CachedBytes, TRAILER_BYTES } from './cached.js';

/** A file in the cache, as a page can show it. */
export interface CachedFile {
  /** Where it was fetched from. */
  readonly address: string;
  /** Bytes in it. */
  readonly lengthBytes: number;
  /** Bytes of it that are here: all when equal to the length. */
  readonly haveBytes: number;
  /** When it was last opened. */
  readonly usedAt: Date;
}

/** Metadata stored with a file's pieces. */
interface Entry {
  readonly address: string;
  readonly lengthBytes: number;
  /** ETag of the content, if the server sends one. */
  readonly version?: string | undefined;
  readonly usedAt: number;
}

const FOLDER = 'weightpress';
const ENTRY = 'entry.json';

/**
 * A persistent cache of downloads in the origin-private file system. Every byte of a file is downloaded once, so that interrupted
 * downloads continue; damaged pieces are downloaded again. Several pages may read the same file.
 */
export class DownloadCache {
  private constructor(private readonly folder: FileSystemDirectoryHandle) {}

  /** Opens the cache. @returns undefined where the browser stores nothing for this page: private windows, pages that are not served over https. */
  static async open(): Promise<DownloadCache | undefined> {
    try {
      if (!crypto.subtle) return;
      const root = await navigator.storage.getDirectory();
      return new DownloadCache(await root.getDirectoryHandle(FOLDER, { create: true }));
    } catch {
      return;
    }
  }

  /** Lists the files in it, last used first. */
  async list(): Promise<CachedFile[]> {
    const files: CachedFile[] = [];
    for await (const handle of this.folder.values()) {
      if (handle.kind !== 'directory') continue;
      const folder = handle as FileSystemDirectoryHandle;
      const entry = await readEntry(folder);
      if (!entry) continue;
      const { address, lengthBytes, usedAt } = entry;
      files.push({ address, lengthBytes, haveBytes: await bytesIn(folder), usedAt: new Date(usedAt) });
    }
    return files.sort((a, b) => Number(b.usedAt) - Number(a.usedAt));
  }

  /** Removes a file; where there is none, nothing happens. */
  async remove(address: string): Promise<void> {
    await this.folder.removeEntry(await nameOf(address), { recursive: true }).catch(() => {}); // not cached
  }

  /** Removes what was last used before `usedBefore`, then what was used longest ago until no more than `mostBytes` are left. */
  async evict({
    maxBytes = Number.POSITIVE_INFINITY,
    usedBefore = new Date(0),
  }: EvictOptions): Promise<void> {
    let totalBytes = 0;
    for (const { address, haveBytes, usedAt } of await this.list()) {
      totalBytes += haveBytes;
      if (totalBytes > maxBytes || usedAt < usedBefore) await this.remove(address);
    }
  }

  /**
   * Opens a file on a server, of which nothing is fetched twice. When the browser has no more room, the least recently used files are
   * evicted; when that is not enough, the rest is read without being cached.
   * @internal
   */
  async keep(address: string, file: HttpFile): Promise<ByteSource> {
    const name = await nameOf(address);
    const { byteLength: lengthBytes, version } = file;
    const before = await this.folder.getDirectoryHandle(name).then(readEntry, () => undefined);
    if (before && (before.lengthBytes !== lengthBytes || before.version !== version))
      await this.remove(address);
    const folder = await this.folder.getDirectoryHandle(name, { create: true });
    const entry: Entry = { address, lengthBytes, version, usedAt: Date.now() };
    const written = await write(folder, ENTRY, JSON.stringify(entry), () => this.makeRoom(address));
    return new CachedBytes(file, folder, `weightpress ${name}`, async (piece, bytes) =>
      written ? write(folder, piece, bytes, () => this.makeRoom(address)) : false,
    );
  }

  /** Removes the least recently used file other than `address`. @returns whether there was one. */
  private async makeRoom(address: string): Promise<boolean> {
    const oldest = (await this.list()).filter((file) => file.address !== address).at(-1);
    if (oldest) await this.remove(oldest.address);
    return oldest !== undefined;
  }
}

/** Which files are removed. */
export interface EvictOptions {
  /** Bytes that may stay; by default all. */
  readonly maxBytes?: number;
  /** Files that were last used before this go; by default none. */
  readonly usedBefore?: Date;
}

/** Writes a file atomically, evicting others while the quota is exceeded. @returns whether it was written. */
async function write(
  folder: FileSystemDirectoryHandle,
  name: string,
  content: Uint8Array | string,
  makeRoom: () => Promise<boolean>,
): Promise<boolean> {
  for (;;)
    try {
      const handle = await folder.getFileHandle(name, { create: true });
      const writable = await handle.createWritable();
      await writable.write(content as Uint8Array<ArrayBuffer> | string);
      await writable.close();
      return true;
    } catch (error) {
      await folder.removeEntry(name).catch(() => {}); // empty, or removed with its folder
      if ((error as Error).name !== 'QuotaExceededError' || !(await makeRoom())) return false;
    }
}

async function readEntry(folder: FileSystemDirectoryHandle): Promise<Entry | undefined> {
  try {
    const handle = await folder.getFileHandle(ENTRY);
    return JSON.parse(await (await handle.getFile()).text());
  } catch {
    return; // missing or incomplete
  }
}

async function bytesIn(folder: FileSystemDirectoryHandle): Promise<number> {
  let bytes = 0;
  for await (const handle of folder.values()) {
    if (handle.kind !== 'file' || handle.name === ENTRY) continue;
    bytes += Math.max(0, (await (handle as FileSystemFileHandle).getFile()).size - TRAILER_BYTES);
  }
  return bytes;
}

/** Returns a file name for an address, which may have any length. */
async function nameOf(address: string): Promise<string> {
  return (await sha256(new TextEncoder().encode(address)))!;
}
