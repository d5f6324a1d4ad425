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

/** The payloads of a tensor's frames: parameters and blocks of a lossy one, blocks of a lossless one. */
export interface CodedTensor {
  readonly codec: string;
  readonly payloads: readonly Uint8Array[];
}

/** In place of digests of what has not been decoded yet; no size is taken of a file with them. */
const UNKNOWN = { sha256: '0'.repeat(64) };

/** What is the same in every try: the frames of each side file and weight header. */
interface Front {
  readonly sideFiles: readonly { readonly sha256: string; readonly frames: readonly Uint8Array[] }[];
  readonly headers: readonly (readonly Uint8Array[])[];
}

export interface CandidateOptions {
  readonly force: boolean;
  /** Threads that decode. */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A lossy file in the making: written whole again and again while the budget is searched, and given its name at the end. What it decodes
 * to is known only from decoding it, so its size is only known after that.
 */
export class Candidate {
  private front: Front | undefined;
  private sourceDigests: readonly string[] | undefined;
  private out: Output | undefined;
  /** Of what was written last; undefined when that is no whole file. */
  private writer: WpkWriter | undefined;
  /** All that the directory says of what was written last but its quality, once it is decoded. */
  private facts: DirectoryFacts | undefined;

  constructor(
    readonly path: string,
    private readonly model: StoredModel,
    private readonly manifest: Manifest,
    private readonly options: CandidateOptions,
  ) {}

  /** Where the last try is read. */
  get partialPath(): string {
    return this.out!.partial;
  }

  /** Bytes of config, tokenizer and texts as stored, frames included. */
  async sideBytes(): Promise<number> {
    const { sideFiles } = await this.makeFront();
    return total(sideFiles.flatMap(({ frames }) => frames.map(({ length }) => length)));
  }

  /**
   * Writes the whole file, its tensors as they come; it can be read then, but has no digests yet.
   * @param tables for codecs that need them. @param maxBytes that it may have: nothing is written beyond them.
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
   * Decodes what was written last, for its digests and errors, and writes its directory with them.
   * @returns the bytes of the file, which has all but its quality; infinity where it was not written whole.
   */
  async size(): Promise<number> {
    return this.writer ? this.writeEnd(await this.decodedFacts()) : Number.POSITIVE_INFINITY;
  }

  /**
   * Writes the directory of what was written last, and gives the file its name.
   * @param maxBytes that the budget allows. @returns the bytes of the file.
   * @throws {Error} when it has more: whoever searched for it was wrong.
   */
  async finish(quality: DirectoryFacts['quality'], maxBytes = Number.POSITIVE_INFINITY): Promise<number> {
    const bytes = await this.writeEnd({ ...(await this.decodedFacts()), quality });
    if (bytes > maxBytes) throw new Error(`${this.path} has ${bytes} bytes, over its budget of ${maxBytes}`);
    await this.out!.finish(() => this.model.verify?.());
    return bytes;
  }

  /** Leaves nothing behind; what is written next begins from the start. */
  async discard(): Promise<void> {
    await this.out?.discard();
    this.out = undefined;
  }

  /** @returns each tensor's codec, undefined for copies; nothing when the file would have more than `maxBytes` bytes. */
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

  /** Writes the directory, in place of the last one if there is one. @returns the bytes of the file. */
  private async writeEnd(facts: DirectoryFacts): Promise<number> {
    const [out, writer] = [this.out!, this.writer!];
    await out.truncate(writer.directoryStart);
    const { file } = await writer.finish(facts);
    await out.flush(); // it is read to be decoded and measured
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
