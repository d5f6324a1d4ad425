import { dirname } from 'node:path';
import { ConnectionError, IntegrityError } from '../core/errors.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { fetchBytes, type HttpFile } from '../io/http.js';
import { makeFolders } from '../io/node/disk.js';
import { fileError, openFile } from '../io/node/file.js';
import { NameTaken, Output } from '../io/node/output.js';
import { claim, leftoversOf } from '../io/node/temporary.js';
import { Made } from './cache.js';
import { updateHash } from './content.js';
import { digestOf, type HubFile } from './repository.js';

const ENDING = 'incomplete';

/**
 * Fetches a file to `path`, going on from what a run that was stopped has left in `NAME.….incomplete`; it has its name only when all of
 * it is there and its digest is that which the Hub lists.
 * @returns the file that was made; undefined when another run was faster: what has the name then is that run's.
 * @throws the signal's reason once it is aborted; what came is removed then.
 * @throws {InputError} when it cannot be had or written. @throws {IntegrityError} when it is another file; what came is removed then.
 */
export async function download(
  remote: HttpFile,
  file: HubFile,
  path: string,
  options: RunOptions = {},
): Promise<Made | undefined> {
  await makeFolders(dirname(path)).catch((error) => {
    throw fileError(error, path);
  });
  const output = await openOutput(path, file);
  const resumed = output.length > 0;
  try {
    let found = await fetchRest(remote, file, output, options);
    if (found !== file.etag && resumed) {
      await output.truncate(0); // what was left may have been torn
      found = await fetchRest(remote, file, output, options);
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
  options: RunOptions,
): Promise<string> {
  const hash = digestOf(file);
  const source = await openFile(output.partial);
  try {
    await updateHash(hash, source, output.length);
  } finally {
    await source.close();
  }
  const meter = new Meter(options, `downloading ${file.name}`, file.lengthBytes);
  for await (const chunk of fetchBytes(remote, output.length, file.lengthBytes, options.signal)) {
    hash.update(chunk);
    await output.write(chunk);
    meter.reach(output.length);
  }
  return hash.digest('hex');
}
