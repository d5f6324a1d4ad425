import { type Summary, summarize } from '../wpk/summary.js';
import { openContainer } from './decompress.js';

/**
 * Returns the content of a .wpk file from its directory, without decoding.
 * @param path a .wpk file: on disk, at an address, or on the Hub.
 * @throws {InputError} when it cannot be read, or is not a .wpk.
 */
export async function inspect(
  path: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Summary> {
  const container = await openContainer(path, options);
  try {
    return summarize(container);
  } finally {
    await container.close();
  }
}
