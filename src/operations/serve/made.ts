import { createHash } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteSource, readInto } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import { VERSION } from '../../core/version.js';
import { updateHash } from '../../hub/content.js';
import { disk } from '../../io/node/disk.js';
import { fileError, openFile } from '../../io/node/file.js';
import { sha256 } from '../../io/node/sha256.js';
import { hold, letGo } from '../../io/node/temporary.js';
import { Cache } from './cache.js';
import { Gate } from './gate.js';
import {
  CHUNK_BYTES,
  type Content,
  type OpenedFile,
  type Repository,
  type RepositoryFile,
} from './repository.js';
import type { StoredRepository } from './stored-repository.js';
import { filesOf, VARIANTS, type Variant, type VariantFile, withModel } from './variants.js';

interface Made extends Content {
  readonly path: string;
  readonly source: ByteSource;
}

/**
 * Makes files in other formats when they are first asked for, one at a time, in a temporary folder. The least recently used are removed
 * above a limit, and made again when they are needed.
 */
export class Workshop {
  private readonly made: Cache<Made>;
  private readonly gate = new Gate(1);
  private readonly stop = new AbortController();
  private readonly repositories = new WeakMap<
    StoredRepository,
    Map<Variant, Promise<Repository | undefined>>
  >();
  private folder: Promise<string> | undefined;
  private count = 0;

  constructor(private readonly limitBytes: number) {
    this.made = new Cache(limitBytes, {
      sizeOf: ({ length }) => length,
      dispose: ({ source, path }) => {
        source.close().catch(() => {});
        disk.unlink(path).catch(() => {});
      },
    });
  }

  /** Returns the repository of a name that ends as those of a variant do; undefined if there is none, or the model cannot be written so. */
  async repository(
    name: string,
    stored: ReadonlyMap<string, StoredRepository>,
  ): Promise<Repository | undefined> {
    const variant = this.limitBytes ? VARIANTS.find(({ suffix }) => name.endsWith(suffix)) : undefined;
    const from = variant && stored.get(name.slice(0, -variant.suffix.length));
    if (!from) return;
    const variants = this.repositories.get(from) ?? new Map();
    this.repositories.set(from, variants);
    const found = variants.get(variant) ?? this.describe(from, variant);
    variants.set(variant, found);
    found.catch(() => variants.delete(variant));
    return found;
  }

  async close(): Promise<void> {
    this.stop.abort(new InputError('the server was closed'));
    await this.gate.run(1, async () => {}); // the file that was being made is removed
    this.made.clear();
    const folder = await this.folder?.catch(() => undefined);
    if (folder === undefined) return;
    await disk.removeTree(folder);
    letGo(folder);
  }

  private async describe(from: StoredRepository, variant: Variant): Promise<Repository | undefined> {
    const { path, key } = from.found;
    const found = await filesOf(variant, path);
    if (!found) return;
    const files = found.map((file) => new FileToMake(file, () => this.open(file, path, key)));
    return {
      commit: sha256(Buffer.from(`${from.commit}${variant.suffix} ${VERSION}`)).slice(0, 40),
      modified: from.modified,
      files: new Map(files.map((file) => [file.name, file])),
    };
  }

  private async open(file: VariantFile, from: string, key: string): Promise<OpenedFile> {
    const make = () => this.gate.run(1, () => this.make(file, from));
    const { value, release } = await this.made.lease(`${key}/${file.name}`, make);
    const { length, sha256, source } = value;
    return { length, sha256, read: (start, end) => chunksOf(source, start, end), close: release };
  }

  private async make(file: VariantFile, from: string): Promise<Made> {
    const { signal } = this.stop;
    signal.throwIfAborted();
    this.folder ??= makeTemporaryFolder();
    const path = join(await this.folder, String(this.count++));
    await withModel(from, (model) => file.write(model, path, signal));
    const source = await openFile(path);
    const hash = createHash('sha256');
    await updateHash(hash, source, source.byteLength);
    return { path, source, length: source.byteLength, sha256: hash.digest('hex') };
  }
}

/** A file of a variant: its content is known once it was made. */
class FileToMake implements RepositoryFile {
  readonly name: string;
  content: Content | undefined;

  constructor(
    { name }: VariantFile,
    private readonly make: () => Promise<OpenedFile>,
  ) {
    this.name = name;
  }

  async open(): Promise<OpenedFile> {
    const opened = await this.make();
    this.content = { length: opened.length, sha256: opened.sha256 };
    return opened;
  }
}

async function* chunksOf(source: ByteSource, start: number, end: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - start));
  for (let at = start; at < end; at += CHUNK_BYTES) {
    const chunk = buffer.subarray(0, end - at);
    await readInto(source, chunk, at);
    yield chunk;
  }
}

/** Makes a folder that only this user can read. */
async function makeTemporaryFolder(): Promise<string> {
  const prefix = join(tmpdir(), 'weightpress-serve-');
  const folder = await mkdtemp(prefix).catch((error) => {
    throw fileError(error, prefix);
  });
  hold(folder);
  return folder;
}
