import { createHash } from 'node:crypto';
import { Output } from '../io/node/output.js';
import type { StoredModel } from '../models/stored-model.js';
import { total } from '../wpk/directory.js';
import { FRAME, frame } from '../wpk/frames.js';
import type { Manifest } from '../wpk/manifest.js';
import { storedBase } from '../wpk/node/stored-base.js';
import { takeOver } from '../wpk/node/take-over.js';
import type { FinishedFrame } from '../wpk/resume.js';
import { type DirectoryFacts, frontOf, WpkWriter } from '../wpk/writer.js';
import {
  type CodedTensor,
  FrameWriter,
  type Front,
  isSame,
  makeFront,
  tensorFrames,
  type WrittenFrames,
} from './candidate-frames.js';
import { type DecodeOptions, decodeFacts, digestsOf } from './decoded-facts.js';

/** Zeros in place of digests until the file is decoded. Its size is measured only with the real ones. */
const UNKNOWN = { sha256: '0'.repeat(64) };

export interface CandidateOptions extends DecodeOptions {
  readonly force: boolean;
}

/**
 * A lossy file under construction: written completely for each trial of the search, and renamed at the end. Its digests and errors come
 * from decoding it, so its exact size is known only after that.
 */
export class Candidate {
  private madeFront: Front | undefined;
  private sourceDigests: readonly string[] | undefined;
  private out: Output | undefined;
  /** Frames of an interrupted run's file that has been taken over, until it is overwritten. */
  private left: readonly FinishedFrame[] = [];
  /** Writer of the last trial; undefined if that is incomplete. */
  private writer: WpkWriter | undefined;
  private writtenFrames: WrittenFrames | undefined;
  private isKept = false;
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

  /** The frames of the last trial; undefined if it is incomplete. */
  get written(): WrittenFrames | undefined {
    return this.writer && this.writtenFrames;
  }

  /** Returns the stored bytes of config, tokenizer and texts, including frames. */
  async sideBytes(): Promise<number> {
    const { sideFiles } = await this.front();
    return total(sideFiles.flatMap(({ frames }) => frames.map(({ length }) => length)));
  }

  /** Returns the SHA-256 of what is the same in every trial: the manifest, and all bytes of the model. */
  async identity(): Promise<string> {
    const hash = createHash('sha256').update(frontOf(this.manifest));
    for (const { sha256 } of (await this.front()).sideFiles) hash.update(sha256);
    for (const digest of await this.digestsOfSource()) hash.update(digest);
    hash.update(this.options.base?.digests ?? '');
    return hash.digest('hex');
  }

  /** Takes over the file of an interrupted run. @returns false if there is none. @throws {InputError} when it is of another model or other options. */
  async takeOver(): Promise<boolean> {
    const taken = await takeOver(this.path, frontOf(this.manifest), this.options.force);
    if (!taken) return false;
    [this.out, this.left] = [taken.out, taken.finished.frames];
    this.setResumable(false);
    return true;
  }

  /** Makes the file that was taken over the last trial. @returns false if it does not have these frames. */
  async restore(written: WrittenFrames): Promise<boolean> {
    const left = this.left.values();
    if (!this.out || !isSame(this.left, written)) return false;
    const next = () => left.next().value!;
    const writer = new WpkWriter(this.out, this.path, this.manifest);
    const frames = new FrameWriter(writer, written.tensors.length);
    await frames.front(await this.front(), next);
    if (written.hasTables) await frames.tables(next());
    for (const [i, entry] of written.tensors.entries())
      if (entry) await frames.tensor(i, entry[0], Array.from({ length: entry[1] }, next));
    await this.complete(writer, written);
    return true;
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
    const { manifest } = this;
    const front = await this.front();
    this.out ??= await Output.create(this.path, { force: this.options.force });
    this.setResumable(false);
    [this.writer, this.facts, this.left] = [undefined, undefined, []];
    await this.out.truncate(0);
    const writer = new WpkWriter(this.out, this.path, manifest);
    const frames = new FrameWriter(writer, manifest.tensors.length);
    await writer.begin();
    await frames.front(front);
    if (tables) await frames.tables(frame(FRAME.tables, tables));
    const stored = manifest.tensors.flatMap(({ sameAs }, i) => (sameAs === undefined ? [i] : []));
    for await (const tensor of tensors) {
      await frames.tensor(stored.shift()!, tensor.codec, tensorFrames(tensor));
      if (writer.directoryStart > maxBytes) return;
    }
    await this.complete(writer, frames.written);
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
    await this.out!.finish(async () => {
      await this.model.verify?.();
      await this.options.base?.opened.verify?.();
    });
    return bytes;
  }

  /** Lets the last trial remain if the run is interrupted: a later run can continue from it. */
  keep(): void {
    this.setResumable(true);
  }

  /** Whether the file got its name, although {@link finish} failed afterwards. */
  async hasName(): Promise<boolean> {
    return (await this.out?.hasName()) ?? false;
  }

  /** Closes the last trial, which remains if it is to be kept. @returns its path; undefined if it was deleted. */
  async leave(): Promise<string | undefined> {
    if (!this.isKept) await this.discard();
    const { out } = this;
    this.out = undefined;
    await out?.close();
    return out?.partial;
  }

  /** Deletes the trial. */
  async discard(): Promise<void> {
    await this.out?.discard();
    this.out = undefined;
  }

  private async decodedFacts(): Promise<DirectoryFacts> {
    if (this.facts) return this.facts;
    const { weightFiles, ...decoded } = await decodeFacts(this.partialPath, this.model, this.options);
    const { sideFiles } = await this.front();
    const digests = await this.digestsOfSource();
    this.facts = {
      ...decoded,
      ...this.based(decoded.tensors),
      sideFiles: sideFiles.map(({ sha256 }) => ({ sha256 })),
      weightFiles: weightFiles.map((file, i) => ({ ...file, sourceSha256: digests[i]! })),
    };
    return this.facts;
  }

  /** Writes the directory of a file whose frames are complete. */
  private async complete(writer: WpkWriter, written: WrittenFrames): Promise<void> {
    const { sideFiles, headers } = await this.front();
    [this.writer, this.writtenFrames] = [writer, written];
    await this.writeEnd({
      sideFiles: sideFiles.map(() => UNKNOWN),
      weightFiles: headers.map(() => UNKNOWN),
      ...this.based(written.tensors.map((tensor) => (tensor ? { codec: tensor[0], ...UNKNOWN } : undefined))),
    });
  }

  /** Adds to the facts of tensors what they are differences from. */
  private based(tensors: DirectoryFacts['tensors']): Pick<DirectoryFacts, 'tensors' | 'base'> {
    const { base } = this.options;
    const { manifest } = this;
    if (!base || !manifest.base) return { tensors };
    const all = tensors.map((facts, i) => {
      const own = facts && base.of(manifest.tensors[i]!.name);
      return own ? { ...facts, base: own } : facts;
    });
    const stored = storedBase(manifest.base.name, all);
    return { tensors: all, ...(stored && { base: stored }) };
  }

  /** Writes the directory, replacing the previous one. @returns the length of the file in bytes. */
  private async writeEnd(facts: DirectoryFacts): Promise<number> {
    const [out, writer] = [this.out!, this.writer!];
    await out.truncate(writer.directoryStart);
    const { file } = await writer.finish(facts);
    await out.flush(); // for readers: it is decoded and measured
    return file;
  }

  private setResumable(resumable: boolean): void {
    this.isKept = resumable;
    this.out?.setResumable(resumable);
  }

  private async digestsOfSource(): Promise<readonly string[]> {
    this.sourceDigests ??= await digestsOf(this.model.weightSources);
    return this.sourceDigests;
  }

  private async front(): Promise<Front> {
    this.madeFront ??= await makeFront(this.model);
    return this.madeFront;
  }
}
