import { createHash } from 'node:crypto';
import { isLossyCodec, TRELLIS } from '../codecs/codec.js';
import type { ByteSource } from '../core/byte-source.js';
import { Comparison } from '../evaluation/compare.js';
import { openFile } from '../io/node/file.js';
import { Output } from '../io/node/output.js';
import type { StoredModel } from '../models/stored-model.js';
import { isLossyTensor, total } from '../wpk/directory.js';
import {
  deflate,
  FRAME,
  type FrameType,
  fileHeader,
  frame,
  jsonPayload,
  pieces,
  trailer,
} from '../wpk/frames.js';
import type { Manifest } from '../wpk/manifest.js';
import { Decoding } from '../wpk/node/decode.js';
import { Container } from '../wpk/reader.js';

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

type Entry = Readonly<Record<string, unknown>>;

/**
 * A lossy file in the making: written whole again and again while the budget is searched, and given its name at the end. What it decodes to is known only from decoding it, so its digests come last.
 */
export class Candidate {
  private front:
    | { readonly bytes: Uint8Array; readonly sideFiles: Entry[]; readonly weightFiles: Entry[] }
    | undefined;
  private directory: Entry = {};
  private directoryStart = 0;
  private out: Output | undefined;

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
    return sideFiles.reduce((sum, { frames }) => sum + total(frames as number[]), 0);
  }

  /**
   * Writes the whole file, its tensors as they come. @param tables for codecs that need them. @returns the bytes it will not be longer than when it is finished.
   */
  async write(tables: Uint8Array | undefined, tensors: AsyncIterable<CodedTensor>): Promise<number> {
    const { bytes, sideFiles, weightFiles } = await this.makeFront();
    this.out ??= await Output.create(this.path, { force: this.force });
    const { out } = this;
    await out.truncate(0);
    await out.write(bytes);
    const tablesFrame = tables && frame(FRAME.tables, tables);
    if (tablesFrame) await out.write(tablesFrame);
    const entries = await this.writeTensors(out, tensors);
    this.directory = {
      ...this.manifest,
      sideFiles,
      weightFiles,
      tensors: entries,
      ...(tablesFrame && { tables: tablesFrame.length }),
    };
    this.directoryStart = out.length;
    await writeDirectory(out, {
      ...this.directory,
      quality: PLACEHOLDER_QUALITY,
      weightError: PLACEHOLDER_WEIGHT_ERROR,
    });
    await out.flush(); // it is read to be measured
    return out.length + SLACK_BYTES;
  }

  /** Decodes all of the file, writes digests and errors into its directory, and gives it its name. */
  async finish(quality: Entry | undefined, threads: number | undefined): Promise<void> {
    const directory = { ...this.directory, ...(await this.decoded(threads)), ...(quality && { quality }) };
    const out = this.out!;
    await out.truncate(this.directoryStart);
    await writeDirectory(out, directory);
    await out.finish(() => this.model.verify?.());
  }

  /** Leaves nothing behind; what is written next begins from the start. */
  async discard(): Promise<void> {
    await this.out?.discard();
    this.out = undefined;
  }

  private async writeTensors(out: Output, tensors: AsyncIterable<CodedTensor>): Promise<Entry[]> {
    const entries: Entry[] = [];
    const waiting = tensors[Symbol.asyncIterator]();
    for (const entry of this.manifest.tensors) {
      if (entry.sameAs !== undefined) {
        entries.push(entry);
        continue;
      }
      const { codec, payloads } = (await waiting.next()).value as CodedTensor;
      const offset = out.length;
      const frames: number[] = [];
      for (const [i, payload] of payloads.entries()) {
        const whole = frame(frameType(codec, i), payload);
        frames.push(whole.length);
        await out.write(whole);
      }
      const known = { ...entry, codec, sha256: placeholder(entry.name), offset, frames };
      entries.push(isLossyCodec(codec) ? { ...known, error: PLACEHOLDER_ERROR } : known);
    }
    return entries;
  }

  /** Everything before the tables; the same in every trial. */
  private async makeFront() {
    if (this.front) return this.front;
    const { model, manifest } = this;
    const parts = [fileHeader(), frame(FRAME.manifest, jsonPayload(manifest))];
    const add = (type: FrameType, bytes: Uint8Array) =>
      pieces(bytes).map((piece) => {
        const whole = frame(type, deflate(piece));
        parts.push(whole);
        return whole.length;
      });
    const sideFiles: Entry[] = [];
    for (const [i, file] of model.sideFiles.entries()) {
      const bytes = await file.read();
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      sideFiles.push({
        ...manifest.sideFiles[i]!,
        length: bytes.length,
        sha256,
        frames: add(FRAME.sideFile, bytes),
      });
    }
    const weightFiles = model.weightSources.map(({ headerBytes }, i) => ({
      ...manifest.weightFiles[i]!,
      sha256: placeholder(`${i}`),
      sourceSha256: placeholder(`source ${i}`),
      frames: add(FRAME.weightHeader, headerBytes),
    }));
    this.front = { bytes: Buffer.concat(parts), sideFiles, weightFiles };
    return this.front;
  }

  /** What only decoding tells: digests, and how far weights are from the original's. */
  private async decoded(threads: number | undefined) {
    const container = await Container.open(await openFile(this.partialPath));
    const decoding = new Decoding(container, threads);
    const comparison = new Comparison(this.model);
    try {
      const { weightFiles, tensors } = container.directory;
      const [files, entries]: [Entry[], Entry[]] = [[], []];
      for (const [i, file] of weightFiles.entries()) {
        const own = tensors.slice(entries.length, entries.length + file.tensors);
        const sha256 = await decoding.weightFile(await container.header(file), own, async (tensor) => {
          const entry = (this.directory.tensors as Entry[])[entries.length]!;
          const compared = comparison.tensor(tensor);
          const digest = await decoding.tensor(tensor, (elements, firstByte) =>
            compared.add(elements, firstByte, isLossyTensor(tensor)),
          );
          compared.finish();
          if (tensor.sameAs !== undefined) entries.push(entry);
          else if (isLossyTensor(tensor))
            entries.push({ ...entry, sha256: digest, error: rounded(compared.error()) });
          else entries.push({ ...entry, sha256: digest });
        });
        const sourceSha256 = await sourceDigest(this.model.weightSources[i]!.source);
        files.push({
          ...(this.directory.weightFiles as Entry[])[i]!,
          sha256,
          sourceSha256,
        });
      }
      return { weightFiles: files, tensors: entries, weightError: comparison.weightError() };
    } finally {
      await Promise.all([decoding.close(), container.close()]);
    }
  }
}

/** Two digits tell enough of a tensor's error. */
function rounded(share: number): number {
  return Number(share.toPrecision(2));
}

function frameType(codec: string, index: number): FrameType {
  return codec === TRELLIS && index === 0 ? FRAME.parameters : FRAME.block;
}

async function writeDirectory(out: Output, directory: Entry): Promise<void> {
  const start = out.length;
  const whole = frame(FRAME.directory, jsonPayload(directory));
  await out.write(whole);
  await out.write(trailer(start, whole.length));
}

/** Bytes of a source that are digested at once. */
const PIECE_BYTES = 2 ** 22;

async function sourceDigest(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for (let start = 0; start < source.byteLength; start += PIECE_BYTES)
    hash.update(await source.read(start, Math.min(source.byteLength, start + PIECE_BYTES)));
  return hash.digest('hex');
}
