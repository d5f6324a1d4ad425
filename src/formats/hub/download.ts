import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { IntegrityError } from '../../errors.js';
import { fileError } from '../../io/file.js';
import { fetchBytes, type HttpFile } from '../../io/http.js';
import { digestOf, type HubFile } from './repository.js';

export type OnDownload = (name: string, doneBytes: number, totalBytes: number) => void;

/**
 * Fetches a file to `path`, going on from what an earlier run left in `path.incomplete`; it has its name only when all of it is there
 * and its digest is that which the Hub lists.
 * @throws {InputError} when it cannot be had or written. @throws {IntegrityError} when it is another file; what came is removed then.
 */
export async function download(
  remote: HttpFile,
  file: HubFile,
  path: string,
  onDownload?: OnDownload,
): Promise<void> {
  const incomplete = `${path}.incomplete`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const { hash, length } = await hashOfStart(incomplete, file);
    const handle = await open(incomplete, length ? 'r+' : 'w');
    try {
      await handle.truncate(length);
      let at = length;
      for await (const chunk of fetchBytes(remote, at, file.lengthBytes)) {
        hash.update(chunk);
        for (let done = 0; done < chunk.length; )
          done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
        at += chunk.length;
        onDownload?.(file.name, at, file.lengthBytes);
      }
    } finally {
      await handle.close();
    }
    const found = hash.digest('hex');
    if (found !== file.etag) {
      await rm(incomplete, { force: true });
      throw new IntegrityError(
        `expected the content ${file.etag}, found ${found}: it was changed or damaged`,
        {
          file: remote.name,
        },
      );
    }
    await rename(incomplete, path);
  } catch (error) {
    throw fileError(error, path);
  }
}

/** The digest that the Hub names a file by, begun with what is there of it. */
async function hashOfStart(path: string, file: HubFile): Promise<{ hash: Hash; length: number }> {
  const hash = digestOf(file);
  const there = await stat(path).catch(() => undefined);
  if (!there?.isFile() || there.size > file.lengthBytes || !there.size) return { hash, length: 0 };
  for await (const chunk of createReadStream(path, { end: there.size - 1 })) hash.update(chunk);
  return { hash, length: there.size };
}
