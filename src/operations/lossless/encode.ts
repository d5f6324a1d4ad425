import { createHash } from 'node:crypto';
import { readInto } from '../../core/byte-source.js';
import { InputError } from '../../core/errors.js';
import type { Folder, FolderFile } from '../../core/folder.js';
import { SMALL_TENSOR_BYTES, sha256 } from '../../io/node/sha256.js';
import { readAhead } from '../../io/read-ahead.js';
import type { StoredTensor } from '../../models/safetensors/header.js';
import type { WeightSource } from '../../models/stored-model.js';
import type { Hashing } from '../../workers/node/hashing.js';
import type { Base } from '../../wpk/base.js';
import type { BlockPool } from '../../wpk/block-pool.js';
import { splitHeader, total } from '../../wpk/directory.js';
import { PIECE_BYTES, pieces } from '../../wpk/frames.js';
import type { Manifest } from '../../wpk/manifest.js';
import { storedBase } from '../../wpk/node/stored-base.js';
import type { FinishedFrame } from '../../wpk/resume.js';
import type { Contents } from '../../wpk/stored/contents.js';
import type { TensorFacts, WpkWriter, WrittenBytes } from '../../wpk/writer.js';
import { Difference } from './difference.js';
import { FrameQueue } from './frame-queue.js';
import { FrameMaker } from './frames.js';
import { readBlocks } from './read-blocks.js';

export interface EncodeInput {
  readonly files: Folder;
  readonly contents: Contents;
  readonly manifest: Manifest;
  readonly writer: WpkWriter;
  readonly pool: BlockPool;
  /** Digests of whole files, and of tensors, on their own threads. */
  readonly fileHash: Hashing;
  readonly tensorHash: Hashing;
  /** Frames after the manifest that an interrupted run already wrote. */
  readonly finished: readonly FinishedFrame[];
  readonly onProgress: ((doneBytes: number, totalBytes: number) => void) | undefined;
  /** Where frames of blocks come from that others have made; undefined if they are made here. */
  readonly made?: MadeFrames | undefined;
  /** What tensors may be differences from. */
  readonly base?: Base | undefined;
}

/** Frames of a file's blocks that were made elsewhere. */
export interface MadeFrames {
  /** Returns the frame of a block, in memory that stays as it is. @param tensor index in the manifest. @param block index in the tensor. */
  frame(tensor: number, block: number): Promise<Uint8Array>;
}

/** Facts of a tensor whose digest is still being computed. */
interface PendingFacts {
  readonly sha256: string | Promise<string>;
}

const EMPTY_SHA256 = sha256(new Uint8Array());

/** Encodes all files in one pass: writes the frames in order, then the directory. */
export class LosslessEncoder {
  private readonly queue: FrameQueue;
  private readonly frames: FrameMaker;
  private readonly tensors: (PendingFacts | undefined)[] = [];
  /** By the tensor's index. */
  private readonly differences = new Map<number, Difference>();
  private readonly totalBytes: number;
  private doneBytes = 0;

  constructor(private readonly input: EncodeInput) {
    const { contents, pool, writer, finished } = input;
    this.queue = new FrameQueue(writer, pool);
    this.frames = new FrameMaker(pool, finished, contents.id);
    this.totalBytes =
      total(contents.sideFiles.map(({ lengthBytes }) => lengthBytes)) +
      total(contents.weightSources.map(({ source }) => source.byteLength));
  }

  /** Writes the file. @throws {InputError} for input that cannot be read or has changed. */
  async run(): Promise<WrittenBytes> {
    const { contents, writer } = this.input;
    const sideFiles = [];
    for (const [i, file] of contents.sideFiles.entries())
      sideFiles.push({ sha256: await this.sideFile(file, i) });
    for (const [i, { headerBytes }] of contents.weightSources.entries())
      for (const piece of pieces(headerBytes))
        await this.queue.add('weightHeaders', i, Promise.resolve(this.frames.header(piece)));
    const weightFiles = [];
    for (const source of contents.weightSources) weightFiles.push({ sha256: await this.weightFile(source) });
    await this.queue.finish();
    const tensors = await Promise.all(this.tensors.map((facts, i) => facts && this.finished(facts, i)));
    const { base } = this.input.manifest;
    const needed = base && storedBase(base.name, tensors);
    return writer.finish({ sideFiles, weightFiles, tensors, ...(needed && { base: needed }) });
  }

  /** Returns the facts of a tensor, once its digest is known. */
  private async finished({ sha256 }: PendingFacts, index: number): Promise<TensorFacts> {
    const base = this.differences.get(index)?.finish();
    return { sha256: await sha256, ...(base && { base }) };
  }

  /** Encodes a side file. @returns its SHA-256. */
  private async sideFile({ name, lengthBytes }: FolderFile, index: number): Promise<string> {
    const { files, pool } = this.input;
    const source = await files.open(name);
    const hash = createHash('sha256');
    try {
      if (source.byteLength !== lengthBytes)
        throw new InputError('changed while being read', { file: source.name });
      for (let start = 0; start === 0 || start < lengthBytes; start += PIECE_BYTES) {
        const bytes = pool.take(Math.min(PIECE_BYTES, lengthBytes - start));
        await readInto(source, bytes, start);
        hash.update(bytes);
        this.progress(bytes.length);
        await this.queue.add('sideFiles', index, this.frames.piece(bytes));
      }
      await source.verify?.();
    } finally {
      await source.close();
    }
    return hash.digest('hex');
  }

  /** Encodes the blocks of a weight file's tensors, in order. @returns the SHA-256 of the whole file. */
  private async weightFile(source: WeightSource): Promise<string> {
    const { fileHash } = this.input;
    const between = splitHeader(source.headerBytes, source.between, source.tensors.length);
    const ahead = { ...source, source: readAhead(source.source) };
    for (const [i, bytes] of between.entries()) {
      this.progress(bytes.length);
      if (bytes.length) await fileHash.update(bytes);
      const tensor = source.tensors[i];
      if (tensor) this.tensors.push(await this.tensor(ahead, tensor));
    }
    await source.source.verify?.();
    return fileHash.digest();
  }

  private tensor(source: WeightSource, tensor: StoredTensor): Promise<PendingFacts | undefined> {
    const index = this.tensors.length;
    const isCopy = this.input.manifest.tensors[index]!.sameAs !== undefined;
    return isCopy ? this.copy(source, tensor) : this.blocks(source, tensor, index);
  }

  /** Reads a duplicate tensor only for the digest of its file. */
  private async copy({ source }: WeightSource, tensor: StoredTensor): Promise<undefined> {
    const { fileHash, pool } = this.input;
    for await (const { bytes } of readBlocks(source, tensor, pool)) {
      this.progress(bytes.length);
      pool.give(await fileHash.update(bytes));
    }
  }

  private async blocks({ source }: WeightSource, tensor: StoredTensor, index: number): Promise<PendingFacts> {
    const { fileHash, tensorHash, pool, made, base } = this.input;
    const difference = base && Difference.of(base, tensor);
    if (difference) this.differences.set(index, difference);
    let count = 0;
    const isSmall = tensor.lengthBytes <= SMALL_TENSOR_BYTES;
    let digest: PendingFacts['sha256'] = EMPTY_SHA256;
    for await (const { bytes, block } of readBlocks(source, tensor, pool)) {
      this.progress(bytes.length);
      if (isSmall) digest = sha256(bytes); // it has a single block
      const inFile = fileHash.update(bytes);
      const hashed = isSmall ? inFile : Promise.all([inFile, tensorHash.update(bytes)]).then(() => bytes);
      const frame = difference
        ? this.frames.difference(hashed, block, await difference.read(block), (whole) =>
            difference.note(whole),
          )
        : this.frames.block(hashed, block, made?.frame(index, count++));
      await this.queue.add('tensors', index, frame);
    }
    if (!isSmall) {
      digest = tensorHash.digest(); // all blocks have been sent to it, and none of the next tensor
      digest.catch(() => {}); // awaited later
    }
    return { sha256: digest };
  }

  private progress(bytes: number): void {
    this.doneBytes += bytes;
    this.input.onProgress?.(this.doneBytes, this.totalBytes);
  }
}
