import { createHash } from 'node:crypto';
import { isLossyCodec, TRELLIS } from '../codecs/codec.js';
import { InputError } from '../core/errors.js';
import { Output } from '../io/node/output.js';
import { sha256 } from '../io/node/sha256.js';
import type { StoredModel } from '../models/stored-model.js';
import { total } from '../wpk/directory.js';
import { deflate, FRAME, type FrameType, frame, pieces } from '../wpk/frames.js';
import type { Manifest } from '../wpk/manifest.js';
import { type DirectoryFacts, type TensorFacts, WpkWriter } from '../wpk/writer.js';
import { decodeFacts, digestOf } from './decoded-facts.js';

/** The payloads of a tensor's frames: parameters and blocks of a lossy one, blocks of a lossless one. */
export interface CodedTensor {
  readonly codec: string;
  readonly payloads: readonly Uint8Array[];
}

/** In place of what is not known before the file has been decoded and measured: as long, and as hard to deflate. */
const placeholder = (name: string) => createHash('sha256').update(name).digest('hex');
const PLACEHOLDER_QUALITY = Object.fromEntries(
  Array.from({ length: 24 }, (_, i) => [
    placeholder(`${i}`).slice(0, 6),
    Number(`0.${BigInt(`0x${placeholder(`${i}`)}`)}`),
  ]),
);
const PLACEHOLDER_ERROR = 0.087;
const PLACEHOLDER_WEIGHT_ERROR = Object.fromEntries(Object.entries(PLACEHOLDER_QUALITY).slice(0, 4));
/** How much longer the end may still become than the placeholders were. */
const SLACK_BYTES = 64;

/** What is the same in every try: the frames of each side file and weight header. */
interface Front {
  readonly sideFiles: readonly { readonly sha256: string; readonly frames: readonly Uint8Array[] }[];
  readonly headers: readonly (readonly Uint8Array[])[];
}

/**
 * A lossy file in the making: written whole again and again while the budget is searched, and given its name at the end. What it decodes to is known only from decoding it, so its digests come last.
 */
export class Candidate {
  private front: Front | undefined;
  private out: Output | undefined;
  private writer: WpkWriter | undefined;

  constructor(
    readonly path: string,
    private readonly model: StoredModel,
    private readonly manifest: Manifest,
    private readonly force: boolean,
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
   * Writes the whole file, its tensors as they come.
   * @param tables for codecs that need them. @param maxBytes that it may have: nothing is written beyond them.
   * @returns the bytes it will not be longer than when it is finished; infinity when it is not written whole.
   */
  async write(
    tables: Uint8Array | undefined,
    tensors: AsyncIterable<CodedTensor>,
    maxBytes = Number.POSITIVE_INFINITY,
  ): Promise<number> {
    const { sideFiles, headers } = await this.makeFront();
    this.out ??= await Output.create(this.path, { force: this.force });
    const { out } = this;
    await out.truncate(0);
    const writer = new WpkWriter(out, this.path, this.manifest);
    this.writer = writer;
    await writer.begin();
    for (const [i, { frames }] of sideFiles.entries())
      for (const whole of frames) await writer.append('sideFiles', i, whole);
    for (const [i, frames] of headers.entries())
      for (const whole of frames) await writer.append('weightHeaders', i, whole);
    if (tables) await writer.append('tables', 0, frame(FRAME.tables, tables));
    const facts = await this.writeTensors(writer, tensors, maxBytes);
    if (!facts) return Number.POSITIVE_INFINITY;
    const { file } = await writer.finish({
      sideFiles: sideFiles.map(({ sha256 }) => ({ sha256 })),
      weightFiles: headers.map((_, i) => ({
        sha256: placeholder(`${i}`),
        sourceSha256: placeholder(`source ${i}`),
      })),
      tensors: facts,
      quality: PLACEHOLDER_QUALITY,
      weightError: PLACEHOLDER_WEIGHT_ERROR,
    });
    await out.flush(); // it is read to be measured
    return file + SLACK_BYTES;
  }

  /**
   * Decodes all of the file, writes digests and errors into its directory, and gives it its name.
   * @param maxBytes that the budget allows. @returns the bytes of the file.
   * @throws {Error} when the file is longer than `write` has promised that it will be.
   */
  async finish(
    quality: DirectoryFacts['quality'],
    threads: number | undefined,
    maxBytes = Number.POSITIVE_INFINITY,
  ): Promise<number> {
    const [out, writer] = [this.out!, this.writer!];
    const { weightFiles, ...decoded } = await decodeFacts(out.partial, this.model, threads);
    const files = [];
    for (const [i, { source }] of this.model.weightSources.entries())
      files.push({ ...weightFiles[i]!, sourceSha256: await digestOf(source) });
    const { sideFiles } = await this.makeFront();
    await out.truncate(writer.directoryStart);
    const { file } = await writer.finish({
      ...decoded,
      sideFiles: sideFiles.map(({ sha256 }) => ({ sha256 })),
      weightFiles: files,
      quality,
    });
    if (file > maxBytes) throw new Error(`${this.path} has ${file} bytes, over its budget of ${maxBytes}`);
    await out.finish(() => this.model.verify?.());
    return file;
  }

  /** Leaves nothing behind; what is written next begins from the start. */
  async discard(): Promise<void> {
    await this.out?.discard();
    this.out = undefined;
  }

  /** @returns what is known of each tensor; undefined when the file would have more than `maxBytes` bytes. */
  private async writeTensors(
    writer: WpkWriter,
    tensors: AsyncIterable<CodedTensor>,
    maxBytes: number,
  ): Promise<(TensorFacts | undefined)[] | undefined> {
    const { tensors: entries } = this.manifest;
    const facts: (TensorFacts | undefined)[] = entries.map(() => undefined);
    const stored = entries.flatMap(({ sameAs }, i) => (sameAs === undefined ? [i] : []));
    for await (const { codec, payloads } of tensors) {
      const index = stored.shift()!;
      for (const [i, payload] of payloads.entries())
        await writer.append('tensors', index, frame(frameType(codec, i), payload));
      if (writer.directoryStart > maxBytes) return undefined;
      const error = isLossyCodec(codec) && { error: PLACEHOLDER_ERROR };
      facts[index] = { codec, sha256: placeholder(entries[index]!.name), ...error };
    }
    return facts;
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
