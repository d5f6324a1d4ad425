import { openContainer } from './decompress.js';
import { type Summary, summarise } from './summary.js';

/** What a .wpk file on disk holds, from its directory alone; nothing is decoded. @throws {InputError} */
export async function inspect(path: string): Promise<Summary> {
  const container = await openContainer(path);
  try {
    return summarise(container);
  } finally {
    await container.close();
  }
}
