import { dirname } from 'node:path';
import { ConnectionError, IntegrityError } from '../core/errors.js';
import { fetchBytes, type HttpFile } from '../io/http.js';
import { makeFolders } from '../io/node/disk.js';
import { fileError, openFile } from '../io/node/file.js';
import { NameTaken, Output } from '../io/node/output.js';
import { claim, leftoversOf } from '../io/node/temporary.js';
import { Made } from './cache.js';
import { updateHash } from './content.js';
import { digestOf, type HubFile } from './repository.js';

export type OnDownload = (name: string, doneBytes: number, totalBytes: number) => void;

const ENDING = 'incomplete';

/**
 * Downloads a file to `path`, continuing an interrupted download in `NAME.….incomplete`. The file gets its name once it is complete and
 * its digest matches the Hub's.
 * @returns the created file; undefined if another run created it first.
 * @throws {InputError} when it cannot be downloaded or written. @throws {IntegrityError} when its digest does not match; the download is
 * then removed.
 */
export async function download(
  remote: HttpFile,
  file: HubFile,
  path: string,
  onDownload?: OnDownload,
): Promise<Made | undefined> {
  await makeFolders(dirname(path)).catch((error) => {
    throw fileError(error, path);
  });
  const output = await openOutput(path, file);
  const resumed = output.length > 0;
  try {
    let found = await fetchRest(remote, file, output, onDownload);
    if (found !== file.etag && resumed) {
      await output.truncate(0); // the interrupted download may have been damaged
      found = await fetchRest(remote, file, output, onDownload);
    }
    if (found !== file.etag)
      throw new IntegrityError(
        `expected digest ${file.etag}, found ${found}: the file was changed or damaged`,
        { file: remote.name },
      );
    const made = new Made(path, await output.inode());
    await output.finish();
    return made;
  } catch (error) {
    if (error instanceof ConnectionError) await output.close();
    else await output.discard();
    if (error instanceof NameTaken) return undefined;
    throw error;
  }
}

/** Returns an output that continues the longest interrupted download, or a new one. */
async function openOutput(path: string, { lengthBytes }: HubFile): Promise<Output> {
  const options = { resumable: true, ending: ENDING };
  for (const { path: left, isDead } of await leftoversOf(path, ENDING)) {
    const own = isDead && (await claim(left, path, ENDING));
    if (!own) continue;
    const source = await openFile(own);
    await source.close();
    return Output.resume(path, own, source.byteLength > lengthBytes ? 0 : source.byteLength, options);
  }
  return Output.create(path, options);
}

/** Downloads the missing bytes. @returns the digest of the whole file, as the Hub names it. */
async function fetchRest(
  remote: HttpFile,
  file: HubFile,
  output: Output,
  onDownload: OnDownload | undefined,
): Promise<string> {
  const hash = digestOf(file);
  const source = await openFile(output.partial);
  try {
    await updateHash(hash, source, output.length);
  } finally {
    await source.close();
  }
  for await (const chunk of fetchBytes(remote, output.length, file.lengthBytes)) {
    hash.update(chunk);
    await output.write(chunk);
    onDownload?.(file.name, output.length, file.lengthBytes);
  }
  return hash.digest('hex');
}
