import { LOSSLESS } from '../../codecs/codec.js';
import { ConnectionError, InputError } from '../../core/errors.js';
import type { Folder } from '../../core/folder.js';
import type { Model } from '../../core/model.js';
import type { HubOptions } from '../../hub/folder.js';
import { checkOutput, Output } from '../../io/node/checked-output.js';
import { excluding } from '../../models/folder/selection.js';
import { inputPaths } from '../../models/node/inputs.js';
import { openFiles } from '../../open/open.js';
import { startDigests } from '../../workers/node/hashing.js';
import type { Base } from '../../wpk/base.js';
import type { Manifest } from '../../wpk/manifest.js';
import { startBlockPool } from '../../wpk/node/block-threads.js';
import { describeFiles } from '../../wpk/node/manifest.js';
import { takeOver } from '../../wpk/node/take-over.js';
import { type Contents, closeContents, readContents } from '../../wpk/stored/contents.js';
import { frontOf, WpkWriter } from '../../wpk/writer.js';
import { withBase } from './base.js';
import { type EncodeInput, LosslessEncoder, type MadeFrames } from './encode.js';
import { ownNames } from './own-names.js';

export interface CompressLosslessOptions {
  /** Number of worker threads; 0: none, which is faster for small models; default: the machine's parallelism. The file is the same with any number. */
  readonly threads?: number | undefined;
  /** Continue the output of an interrupted run on this machine. */
  readonly resume?: boolean | undefined;
  /** Replace an existing output. */
  readonly force?: boolean | undefined;
  /** Patterns of files to leave out: `*.onnx`, `onnx/**`. The file lists their names. */
  readonly exclude?: readonly string[] | undefined;
  /** For a Hub repository: include further copies of the same weights in other formats. */
  readonly all?: boolean | undefined;
  /** For a Hub repository: leave downloads in the cache. */
  readonly keep?: boolean | undefined;
  /** A model that it is stored as differences from, where that is shorter: a path, an address, a name on the Hub, or an opened model. The file needs it. */
  readonly base?: string | Model | undefined;
  /** Called with the repository once it is found. */
  readonly onFolder?: HubOptions['onFolder'] | undefined;
  /** Called with processed and total bytes. An error that it throws aborts the run, without output. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  /** Aborts the run, without output. */
  readonly signal?: AbortSignal | undefined;
  /** Has the blocks encoded elsewhere. */
  readonly encodeElsewhere?: ((contents: Contents, manifest: Manifest) => Promise<MadeFrames>) | undefined;
}

/**
 * Compresses a folder or file losslessly into one .wpk file, which gets its name only when it is complete. It contains all files of the
 * folder, byte for byte, whatever their format.
 * @param from a path, an address, a name on the Hub, or an opened model, whose original files are compressed.
 * @throws {InputError} naming a file that cannot be read or stored, and when the output cannot be written.
 */
export function compressLossless(
  from: string | Model,
  output: string,
  options: CompressLosslessOptions = {},
): Promise<void> {
  return withContents(from, output, options, (files, contents) =>
    withBase(output, options, (base) => writeContents(files, contents, output, options, base)),
  );
}

/**
 * Reads the headers of what {@link compressLossless} would write, and makes the same checks, without writing.
 * @returns what `show` returns, which is called with the contents. @throws {InputError} as {@link compressLossless}.
 */
export function previewLossless<Result>(
  from: string,
  output: string,
  options: CompressLosslessOptions,
  show: (contents: Contents) => Result,
): Promise<Result> {
  return withContents(from, output, options, (_, contents) =>
    withBase(output, options, async () => show(contents)),
  );
}

/** Opens the files of a folder, checks that they can be compressed into the output, and closes them after the work. */
async function withContents<Result>(
  from: string | Model,
  output: string,
  options: CompressLosslessOptions,
  work: (files: Folder, contents: Contents) => Promise<Result>,
): Promise<Result> {
  const { keep, onFolder, signal, exclude, all, force = false } = options;
  const reading = keep ? 'download' : 'sequential';
  const opened = typeof from === 'string' ? await openFiles(from, { reading, onFolder, signal }) : undefined;
  try {
    const given = opened ?? (from as Model).files;
    if (!given || given.kind === 'wpk')
      throw new InputError('is already a .wpk; expected a folder or a weight file', {
        file: typeof from === 'string' ? from : from.id,
      });
    const files = excluding(given, exclude);
    const outputs = files.kind === 'directory' ? await ownNames(output, files.id) : [];
    const contents = await readContents(files, { all, outputs });
    try {
      if (!contents.sideFiles.length && !contents.weightSources.length)
        throw new InputError('has no files to compress', { file: files.id });
      const beside = files.kind === 'file' ? contents.sideFiles.map(({ name }) => files.place(name)) : [];
      await checkOutput(output, [...inputPaths({ kind: files.kind, ...contents }), ...beside], force);
      return await work(files, contents);
    } finally {
      await closeContents(contents);
    }
  } finally {
    await opened?.close();
  }
}

async function writeContents(
  files: Folder,
  contents: Contents,
  output: string,
  options: CompressLosslessOptions,
  base: Base | undefined,
): Promise<void> {
  const { force = false, threads, onProgress, encodeElsewhere } = options;
  const manifest = await describeFiles(contents, { codec: LOSSLESS }, base?.model);
  const made = await encodeElsewhere?.(contents, manifest);
  const front = frontOf(manifest);
  const { out, finished } = (options.resume && (await takeOver(output, front, force))) || {
    out: await Output.create(output, { force, resumable: true }),
    finished: { frames: [], end: 0 },
  };
  try {
    const writer = new WpkWriter(out, output, manifest, front);
    if (finished.end === 0) await writer.begin();
    await encode(
      { files, contents, manifest, writer, finished: finished.frames, onProgress, made, base },
      threads,
    );
    await base?.model.verify?.();
    options.signal?.throwIfAborted();
    await out.finish();
  } catch (error) {
    if (!(error instanceof ConnectionError)) {
      await out.discard();
      throw error;
    }
    await out.close();
    throw new ConnectionError(error.what, error.place, { cause: error, code: 'resumable' });
  }
}

async function encode(
  input: Omit<EncodeInput, 'pool' | 'fileHash' | 'tensorHash'>,
  threads: number | undefined,
): Promise<void> {
  const pool = startBlockPool(threads);
  const digests = startDigests(threads);
  try {
    await new LosslessEncoder({ ...input, pool, ...digests }).run();
  } finally {
    await Promise.all([pool.close(), digests.fileHash.close(), digests.tensorHash.close()]);
  }
}
