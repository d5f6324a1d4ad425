import type { Dirent } from 'node:fs';
import { opendir, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ConnectionError, InputError } from '../core/errors.js';
import { disk, makeFolders } from '../io/node/disk.js';
import { fileError, openFile } from '../io/node/file.js';
import { NameTaken, Output } from '../io/node/output.js';
import { checkKey, checkPrefix, isKey, UNFINISHED } from './key.js';
import type { Store, StoredObject, Traffic } from './store.js';

/** Errors for names that lead nowhere. A network file system says that a handle is stale when its file was removed. */
const MISSING: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'ESTALE']);
/** Errors of network file systems whose server is gone. */
const UNREACHABLE: ReadonlySet<unknown> = new Set(['ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENOTCONN']);

/**
 * A folder on a file system that several machines share. An object is a file: written under a temporary name, synced, and then linked to
 * its own name, which replaces nothing.
 */
export class FolderStore implements Store {
  readonly traffic: Traffic = { readBytes: 0, writtenBytes: 0 };

  private constructor(readonly name: string) {}

  /** Opens a folder. @throws {InputError} when there is none, or it cannot be written to. */
  static async open(folder: string): Promise<FolderStore> {
    const path = resolve(folder);
    const found = await stat(path).catch((error) => {
      throw folderError(error, path);
    });
    if (!found.isDirectory()) throw new InputError('expected a folder, found a file', { file: path });
    await tryWriting(join(path, 'probe'));
    return new FolderStore(path);
  }

  async size(key: string, signal?: AbortSignal): Promise<number | undefined> {
    const found = await this.find(key, statOf, signal);
    return found?.isFile() ? found.size : undefined;
  }

  async read(key: string, start = 0, end?: number, signal?: AbortSignal): Promise<Uint8Array> {
    const source = await this.find(key, openFile, signal);
    if (!source) throw new InputError('no such object', { file: this.pathOf(key) });
    try {
      const bytes = await source.read(start, end ?? source.byteLength, signal);
      this.traffic.readBytes += bytes.length;
      return bytes;
    } finally {
      await source.close();
    }
  }

  async write(
    key: string,
    pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
    _byteLength?: number,
    isReplacing = false,
  ): Promise<boolean> {
    const path = this.pathOf(key);
    if (!isReplacing && (await this.size(key, signal)) !== undefined) return false;
    await this.makeFolderOf(path);
    const output = await Output.create(path, { force: isReplacing });
    try {
      for await (const piece of pieces) {
        signal?.throwIfAborted();
        await output.write(piece);
      }
      signal?.throwIfAborted();
      const { length } = output;
      const isWritten = await takesName(output);
      if (isWritten) this.traffic.writtenBytes += length;
      return isWritten;
    } catch (error) {
      await output.discard();
      throw folderError(error, path);
    }
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<StoredObject> {
    checkPrefix(prefix);
    const isWanted = (key: string) => key.startsWith(prefix);
    for await (const key of this.files(prefix.slice(0, prefix.lastIndexOf('/') + 1), isWanted)) {
      signal?.throwIfAborted();
      const found = isKey(key) ? await this.find(key, statOf) : undefined;
      if (found?.isFile()) yield { key, bytes: found.size };
    }
  }

  async remove(key: string): Promise<void> {
    await this.find(key, disk.unlink);
  }

  async sweep(ageMs: number): Promise<number> {
    let removed = 0;
    for await (const name of this.files('', () => true)) {
      if (!name.endsWith(UNFINISHED)) continue;
      const path = join(this.name, name);
      const found = await stat(path).catch(() => undefined);
      if (!found || Date.now() - found.mtimeMs <= ageMs) continue;
      // another machine may sweep too
      if (await disk.unlink(path).then(isTrue, isFalse)) removed++;
    }
    return removed;
  }

  async close(): Promise<void> {}

  private pathOf(key: string): string {
    checkKey(key);
    return join(this.name, key);
  }

  /**
   * Does something with the file of an object. A network file system remembers for seconds that a name was missing, until its folder is
   * opened: then it is tried again.
   * @returns undefined when there is no file.
   */
  private async find<Found>(
    key: string,
    action: (path: string) => Promise<Found>,
    signal?: AbortSignal,
  ): Promise<Found | undefined> {
    const path = this.pathOf(key);
    for (const isLast of [false, true]) {
      signal?.throwIfAborted();
      try {
        return await action(path);
      } catch (error) {
        if (!MISSING.has(codeOf(error))) throw folderError(error, path);
      }
      if (!isLast) await this.openFolder(dirname(path));
    }
    return undefined;
  }

  /** Opens and closes a folder, or the nearest one above it that is there, and those that have come to be below. */
  private async openFolder(path: string): Promise<void> {
    const open = async () => (await opendir(path)).close();
    await open().catch(async () => {
      if (path.length <= this.name.length) return;
      await this.openFolder(dirname(path));
      await open().catch(() => {}); // it may not be there at all
    });
  }

  /** Creates the folders of an object, but not the store's own: a file system that is not mounted is not a place to write to. */
  private async makeFolderOf(path: string): Promise<void> {
    try {
      await stat(this.name);
      await makeFolders(dirname(path));
    } catch (error) {
      throw folderError(error, path);
    }
  }

  /** Yields the names of files in a folder and those below it that are wanted. A name ends with `/` for a folder that is asked for. */
  private async *files(folder: string, isWanted: (name: string) => boolean): AsyncGenerator<string> {
    for (const entry of await this.entries(join(this.name, folder))) {
      const name = folder + entry.name;
      if (entry.isFile() && isWanted(name)) yield name;
      if (entry.isDirectory() && isWanted(`${name}/`)) yield* this.files(`${name}/`, isWanted);
    }
  }

  private async entries(path: string): Promise<Dirent[]> {
    try {
      return await readdir(path, { withFileTypes: true });
    } catch (error) {
      if (MISSING.has(codeOf(error)) && path !== join(this.name)) return [];
      throw folderError(error, path);
    }
  }
}

/** Finishes an output. @returns false, and removes it, when its name was taken first. */
async function takesName(output: Output): Promise<boolean> {
  try {
    await output.finish();
    return true;
  } catch (error) {
    if (!(error instanceof NameTaken)) throw error;
    // a network file system may link twice, because the first answer was lost
    const isOurs = await output.hasName();
    await output.discard();
    if (isOurs) await disk.syncFolder(dirname(output.path));
    return isOurs;
  }
}

/** Writes and reads a temporary file. @throws {InputError} when that fails. */
async function tryWriting(path: string): Promise<void> {
  const output = await Output.create(path);
  try {
    await output.write(Uint8Array.of(1, 2, 3));
    await output.flush();
    const source = await openFile(output.partial);
    await source.read(0, 3).finally(() => source.close());
  } finally {
    await output.discard();
  }
}

const statOf = (path: string) => stat(path);
const isTrue = () => true;
const isFalse = () => false;

/** Returns the code of an error of the operating system, also when it was converted to an InputError. */
function codeOf(error: unknown): string | undefined {
  const { code, cause } = error as NodeJS.ErrnoException;
  return error instanceof InputError ? (cause as NodeJS.ErrnoException | undefined)?.code : code;
}

function folderError(error: unknown, path: string): unknown {
  const code = codeOf(error);
  if (UNREACHABLE.has(code))
    return new ConnectionError(`cannot be reached (${code})`, { file: path }, { cause: error });
  return fileError(error, path);
}
