import { equal } from '../codecs/lossless/patterns.js';
import type { ByteSource } from '../core/byte-source.js';
import { InputError } from '../core/errors.js';
import { type Folder, listAll } from '../core/folder.js';
import type { Container } from '../wpk/reader.js';
import type { FileTarget, Target } from './restore.js';

/** Discards restored files: they are only verified. */
export class NowhereTarget implements Target {
  async file(): Promise<FileTarget> {
    const nothing = async () => {};
    return { write: nothing, finish: nothing, discard: nothing };
  }

  async emptyFolder(): Promise<void> {}
}

/** Compares restored files with those of a folder, byte by byte. */
export class FileComparison implements Target {
  readonly problems: string[] = [];

  private constructor(
    private readonly folder: Folder,
    private readonly lengths: ReadonlyMap<string, number>,
  ) {}

  /** Lists the files of both sides. A file only in the folder is a problem, unless the .wpk lists it as left out. */
  static async of(container: Container, folder: Folder): Promise<FileComparison> {
    const { sideFiles, weightFiles, leftOut, emptyFolders } = container.directory;
    const listing = await listAll(folder);
    const comparison = new FileComparison(
      folder,
      new Map(listing.files.map(({ name, lengthBytes }) => [name, lengthBytes])),
    );
    const stored = new Set([...sideFiles, ...weightFiles].map(({ name }) => name));
    const isLeftOut = (name: string) =>
      leftOut.some((entry) => name === entry.name || name.startsWith(`${entry.name}/`));
    const others = [...listing.files, ...listing.refused].map(({ name }) => name);
    for (const name of [...others, ...listing.emptyFolders.filter((empty) => !emptyFolders.includes(empty))])
      if (!stored.has(name) && !isLeftOut(name)) comparison.report(name, 'is only in the original');
    return comparison;
  }

  async file(name: string): Promise<FileTarget> {
    const lengthBytes = this.lengths.get(name);
    if (lengthBytes === undefined) {
      this.report(name, 'is not in the original');
      return new NowhereTarget().file();
    }
    return new ComparedFile(await this.folder.open(name), () =>
      this.report(name, 'differs from the original'),
    );
  }

  async emptyFolder(): Promise<void> {}

  private report(file: string, what: string): void {
    this.problems.push(
      new InputError(what, { file: this.folder.kind === 'file' ? file : this.folder.place(file) }).message,
    );
  }
}

class ComparedFile implements FileTarget {
  private at = 0;
  private same = true;

  constructor(
    private readonly other: ByteSource,
    private readonly onDifference: () => void,
  ) {}

  async write(bytes: Uint8Array): Promise<void> {
    const end = this.at + bytes.length;
    if (this.same)
      this.same = end <= this.other.byteLength && equal(bytes, await this.other.read(this.at, end));
    this.at = end;
  }

  async finish(): Promise<void> {
    if (!this.same || this.at !== this.other.byteLength) this.onDifference();
    await this.other.verify?.();
    await this.other.close();
  }

  async discard(): Promise<void> {
    await this.other.close();
  }
}
