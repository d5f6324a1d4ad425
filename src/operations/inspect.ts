import { type Summary, summarize } from '../wpk/summary.js';
import { openContainer } from './decompress.js';

/** What a .wpk file on disk holds, from its directory alone; nothing is decoded. @throws {InputError} */
export async function inspect(path: string): Promise<Summary> {
  const container = await openContainer(path);
  try {
    return summarize(container);
  } finally {
    await container.close();
  }
}
