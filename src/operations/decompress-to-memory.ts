import { concatenate } from '../core/bytes.js';
import { Decoding } from '../wpk/node/decode.js';
import { type DecompressOptions, openContainer } from './decompress.js';
import { type FileTarget, Restoring, type Target } from './restore.js';

/**
 * Restores the files of a .wpk in memory: byte for byte, each checked against its SHA-256.
 * @param path a .wpk file: on disk, at an address, or on the Hub.
 * @returns the content of every file, by its path in the folder.
 * @throws {InputError} for what is not a .wpk. @throws {IntegrityError} for a file that is damaged.
 * @throws the signal's reason once it is aborted.
 */
export async function decompressToMemory(
  path: string,
  options: Omit<DecompressOptions, 'force'> = {},
): Promise<Map<string, Uint8Array>> {
  const container = await openContainer(path, { reading: 'sequential', signal: options.signal });
  const decoding = new Decoding(container, options.threads);
  const target = new MemoryTarget();
  try {
    await new Restoring(container, decoding, target, { ...options, stage: 'decompressing' }).all();
    return target.files;
  } finally {
    await Promise.all([decoding.close(), container.close()]);
  }
}

class MemoryTarget implements Target {
  readonly files = new Map<string, Uint8Array>();

  async file(name: string): Promise<FileTarget> {
    const pieces: Uint8Array[] = [];
    return {
      write: async (bytes) => {
        pieces.push(bytes.slice());
      },
      finish: async () => {
        this.files.set(name, concatenate(pieces));
      },
      discard: async () => {},
    };
  }

  async emptyFolder(): Promise<void> {}
}
