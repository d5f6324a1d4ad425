import { parseAddress } from '../../hub/address.js';
import { sha256 } from '../../io/node/sha256.js';
import type { Directory, StoredFile } from '../../wpk/directory.js';
import { isLossless } from '../../wpk/summary.js';
import type { Cache } from './cache.js';
import type { Decoder } from './decoder.js';
import { type Found, OpenWpk } from './open-wpk.js';
import type { OpenedFile, Repository, RepositoryFile } from './repository.js';
import { StoredFileReader } from './stored-file.js';

/** What repositories share: the files that are open, and the decoded blocks. */
export interface Shared {
  readonly open: Cache<OpenWpk>;
  readonly decoder: Decoder;
}

/** A .wpk file as the repository that it was made of. */
export interface StoredRepository extends Repository {
  readonly found: Found;
  /** `user/name`, if it was compressed from the Hub. */
  readonly source: string | undefined;
  readonly isLossless: boolean;
}

/** Reads the directory of a .wpk file, which is not kept open. @throws {InputError} when it is not a complete .wpk. */
export async function readStored(found: Found, shared: Shared): Promise<StoredRepository> {
  const { value, release } = await openShared(found, shared);
  try {
    const { directory } = value.container;
    const files = [...directory.sideFiles, ...directory.weightFiles].toSorted(byName);
    return {
      found,
      commit: sha256(
        Buffer.from(files.map(({ name, length, sha256 }) => `${sha256} ${length} ${name}\n`).join('')),
      ).slice(0, 40),
      modified: found.modified,
      source: sourceOf(directory),
      isLossless: isLossless(directory.tensors),
      files: new Map(files.map((file) => [file.name, new RepositoryFileOfWpk(file, found, shared)])),
    };
  } finally {
    release();
  }
}

const byName = (a: StoredFile, b: StoredFile) => (a.name < b.name ? -1 : 1);

const openShared = (found: Found, { open }: Shared) => open.lease(found.key, () => OpenWpk.open(found));

function sourceOf({ source }: Directory): string | undefined {
  const address = parseAddress(source);
  return address?.kind === 'hub' && address.file === undefined ? address.repository : undefined;
}

class RepositoryFileOfWpk implements RepositoryFile {
  readonly name: string;
  readonly content;

  constructor(
    { name, length, sha256 }: StoredFile,
    private readonly found: Found,
    private readonly shared: Shared,
  ) {
    this.name = name;
    this.content = { length, sha256 };
  }

  async open(): Promise<OpenedFile> {
    const { value, release } = await openShared(this.found, this.shared);
    const reader = new StoredFileReader(value, value.file(this.name)!, this.shared.decoder);
    return { ...this.content, read: (start, end) => reader.read(start, end), close: release };
  }
}
