import { TRELLIS } from '../codecs/codec.js';
import { InputError } from '../core/errors.js';
import { Output } from '../io/node/output.js';
import { sha256 } from '../io/node/sha256.js';
import type { StoredModel } from '../models/stored-model.js';
import { total } from '../wpk/directory.js';
import { deflate, FRAME, type FrameType, frame, pieces } from '../wpk/frames.js';
import type { Manifest } from '../wpk/manifest.js';
import { type DirectoryFacts, WpkWriter } from '../wpk/writer.js';
import { decodeFacts, digestsOf } from './decoded-facts.js';

/** Frame payloads of a tensor: parameters (lossy codecs only), then blocks. */
export interface CodedTensor {
  readonly codec: string;
  readonly payloads: readonly Uint8Array[];
}

/** Zeros in place of digests until the file is decoded. Its size is measured only with the real ones. */
const UNKNOWN = { sha256: '0'.repeat(64) };

/** Frames that are the same in every trial: side files and weight headers. */
interface Front {
  readonly sideFiles: readonly { readonly sha256: string; readonly frames: readonly Uint8Array[] }[];
  readonly headers: readonly (readonly Uint8Array[])[];
}

export interface CandidateOptions {
  readonly force: boolean;
  /** Number of threads for decoding. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A lossy file under construction: written completely for each trial of the search, and renamed at the end. Its digests and errors come
 * from decoding it, so its exact size is known only after that.
 */
export class Candidate {
  private front: Front | undefined;
  private sourceDigests: readonly string[] | undefined;
  private out: Output | undefined;
  /** Writer of the last trial; undefined if that is incomplete. */
  private writer: WpkWriter | undefined;
  /** Directory entries of the last trial, without quality; undefined until it is decoded. */
  private facts: DirectoryFacts | undefined;

  constructor(
    readonly path: string,
    private readonly model: StoredModel,
    private readonly manifest: Manifest,
    private readonly options: CandidateOptions,
  ) {}

  /** Path of the last trial. */
  get partialPath(): string {
    return this.out!.partial;
  }

  /** Returns the stored bytes of config, tokenizer and texts, including frames. */
  async sideBytes(): Promise<number> {
    const { sideFiles } = await this.makeFront();
    return total(sideFiles.flatMap(({ frames }) => frames.map(({ length }) => length)));
  }

  /**
   * Writes the complete file, readable but without digests.
   * @param tables for codecs that need them. @param tensors in the order of the manifest. @param maxBytes limit at which writing stops.
   */
  async write(
    tables: Uint8Array | undefined,
    tensors: AsyncIterable<CodedTensor>,
    maxBytes = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const { sideFiles, headers } = await this.makeFront();
    this.out ??= await Output.create(this.path, { force: this.options.force });
    [this.writer, this.facts] = [undefined, undefined];
    await this.out.truncate(0);
    const writer = new WpkWriter(this.out, this.path, this.manifest);
    await writer.begin();
    for (const [i, { frames }] of sideFiles.entries())
      for (const whole of frames) await writer.append('sideFiles', i, whole);
    for (const [i, frames] of headers.entries())
      for (const whole of frames) await writer.append('weightHeaders', i, whole);
    if (tables) await writer.append('tables', 0, frame(FRAME.tables, tables));
    const codecs = await this.writeTensors(writer, tensors, maxBytes);
    if (!codecs) return;
    this.writer = writer;
    await this.writeEnd({
      sideFiles: sideFiles.map(() => UNKNOWN),
      weightFiles: headers.map(() => UNKNOWN),
      tensors: codecs.map((codec) => (codec === undefined ? undefined : { codec, ...UNKNOWN })),
    });
  }

  /**
   * Decodes the last trial and rewrites its directory with the real digests and errors.
   * @returns the length of the file in bytes, without the quality report; infinity if the trial is incomplete.
   */
  async size(): Promise<number> {
    return this.writer ? this.writeEnd(await this.decodedFacts()) : Number.POSITIVE_INFINITY;
  }

  /**
   * Stores the quality in the last trial and moves the file to its final name.
   * @param maxBytes the budget. @returns the length of the file in bytes. @throws {Error} if it exceeds the budget, which is a bug of the search.
   */
  async finish(quality: DirectoryFacts['quality'], maxBytes = Number.POSITIVE_INFINITY): Promise<number> {
    const bytes = await this.writeEnd({ ...(await this.decodedFacts()), quality });
    if (bytes > maxBytes) throw new Error(`${this.path} has ${bytes} bytes, over its budget of ${maxBytes}`);
    await this.out!.finish(() => this.model.verify?.());
    return bytes;
  }

  /** Deletes the trial. */
  async discard(): Promise<void> {
    await this.out?.discard();
    this.out = undefined;
  }

  /** Returns the codec of each tensor (undefined for copies), or undefined if the file would exceed `maxBytes`. */
  private async writeTensors(
    writer: WpkWriter,
    tensors: AsyncIterable<CodedTensor>,
    maxBytes: number,
  ): Promise<(string | undefined)[] | undefined> {
    const { tensors: entries } = this.manifest;
    const codecs: (string | undefined)[] = entries.map(() => undefined);
    const stored = entries.flatMap(({ sameAs }, i) => (sameAs === undefined ? [i] : []));
    for await (const { codec, payloads } of tensors) {
      const index = stored.shift()!;
      for (const [i, payload] of payloads.entries())
        await writer.append('tensors', index, frame(frameType(codec, i), payload));
      if (writer.directoryStart > maxBytes) return undefined;
      codecs[index] = codec;
    }
    return codecs;
  }

  private async decodedFacts(): Promise<DirectoryFacts> {
    if (this.facts) return this.facts;
    const { weightFiles, ...decoded } = await decodeFacts(this.partialPath, this.model, this.options);
    const { sideFiles } = await this.makeFront();
    this.sourceDigests ??= await digestsOf(this.model.weightSources);
    this.facts = {
      ...decoded,
      sideFiles: sideFiles.map(({ sha256 }) => ({ sha256 })),
      weightFiles: weightFiles.map((file, i) => ({ ...file, sourceSha256: this.sourceDigests![i]! })),
    };
    return this.facts;
  }

  /** Writes the directory, replacing the previous one. @returns the length of the file in bytes. */
  private async writeEnd(facts: DirectoryFacts): Promise<number> {
    const [out, writer] = [this.out!, this.writer!];
    await out.truncate(writer.directoryStart);
    const { file } = await writer.finish(facts);
    await out.flush(); // for readers: it is decoded and measured
    return file;
  }

  private async makeFront(): Promise<Front> {
    if (this.front) return this.front;
    const { sideFiles, weightSources } = this.model;
    const files = [];
    for (const file of sideFiles) {
      const bytes = await file.read();
      if (bytes.length !== file.lengthBytes)
        throw new InputError('changed while being read', { file: file.name });
      files.push({ sha256: sha256(bytes), frames: framesOf(FRAME.sideFile, bytes) });
    }
    const headers = weightSources.map(({ headerBytes }) => framesOf(FRAME.weightHeader, headerBytes));
    this.front = { sideFiles: files, headers };
    return this.front;
  }
}

function framesOf(type: FrameType, bytes: Uint8Array): Uint8Array[] {
  return pieces(bytes).map((piece) => frame(type, deflate(piece)));
}

function frameType(codec: string, index: number): FrameType {
  return codec === TRELLIS && index === 0 ? FRAME.parameters : FRAME.block;
}
