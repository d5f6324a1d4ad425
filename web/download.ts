// Downloads a whole file.
import { InputError } from '../dist/core/errors.js';
import { lastName } from '../dist/core/file-name.js';
import { chunksOf } from '../dist/io/body.js';
import { request } from '../dist/io/request.js';

/** Downloads a file of at most `maxBytes` bytes. @throws {InputError} when the server refuses, or sends more. */
export async function download(address: string, maxBytes: number, signal: AbortSignal): Promise<File> {
  const { response } = await request(address, new URL(address, location.href).href, { signal });
  if (!response.ok) throw new InputError(`the server answered ${response.status}`, { file: address });
  const parts: Blob[] = []; // browsers store large Blobs on disk
  let bytes = 0;
  for await (const chunk of chunksOf(response)) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new InputError('the server sent more bytes than expected', { file: address });
    parts.push(new Blob([chunk as Uint8Array<ArrayBuffer>]));
  }
  return new File(parts, lastName(address));
}
