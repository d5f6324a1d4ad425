import { type Summary, summarize } from '../wpk/summary.js';
import { openContainer } from './decompress.js';

/**
 * Returns what a .wpk file holds, from its directory alone: nothing is decoded.
 * @param path a .wpk file: on disk, at an address, or on the Hub.
 * @throws {InputError} when it cannot be read, or is no .wpk.
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
