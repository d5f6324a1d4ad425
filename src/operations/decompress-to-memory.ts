import { concatenate } from '../core/bytes.js';
import { type DecompressOptions, withRestoring } from './decompress.js';
import type { FileTarget, Target } from './restore.js';

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
  const target = new MemoryTarget();
  await withRestoring(path, options, (restoreTo) => restoreTo(target));
  return target.files;
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
