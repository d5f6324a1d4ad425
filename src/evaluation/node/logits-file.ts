import { basename, resolve } from 'node:path';
import {
  type Block,
  blocksOf,
  decodeBlock,
  encodeBlockInto,
  payloadLimit,
} from '../../codecs/lossless/block.js';
import type { ByteSource } from '../../core/byte-source.js';
import { InputError, IntegrityError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { checkOutput, Output } from '../../io/node/checked-output.js';
import { openFile } from '../../io/node/file.js';
import { modelDigest } from '../../models/node/digest.js';
import { inputsOf } from '../../models/node/inputs.js';
import { BLOCK_BYTES, losslessKernels } from '../../wasm/lossless.js';
import {
  checkTrailer,
  decodeHeader,
  decodeStart,
  encodeStart,
  encodeTrailer,
  LENGTH_BYTES,
  START_BYTES,
  TRAILER_BYTES,
} from '../logits-format.js';
import type {
  LogitsOptions,
  LogitsOrigin,
  LogitsStore,
  LogitsWriter,
  Predictions,
  StoredLogits,
} from '../stored-logits.js';

/** Stores logits in files of src/evaluation/logits-format.ts. One block of 1 MiB is in memory. */
export const LOGITS_FILES: LogitsStore = {
  open: openLogits,
  create: createLogits,
};

async function openLogits(path: string): Promise<StoredLogits> {
  const source = await openFile(path);
  try {
    const { byteLength } = source;
    const start = decodeStart(await source.read(0, Math.min(byteLength, START_BYTES)), path, byteLength);
    const header = await source.read(START_BYTES, start.end);
    const origin = decodeHeader(header, start.digest, path);
    checkTrailer(await source.read(byteLength - TRAILER_BYTES, byteLength), path, byteLength);
    return new LogitsFile(source, origin, start.end);
  } catch (error) {
    await source.close();
    throw error;
  }
}

const blocksOfLogits = ({ tokens, vocabulary }: Predictions) => blocksOf('F32', [tokens, vocabulary]);

/** Limit of a coded block. */
const MAX_PAYLOAD_BYTES = payloadLimit(new Uint8Array(BLOCK_BYTES));

class LogitsFile implements StoredLogits {
  private readonly blocks: Iterator<Block, undefined>;
  /** Decoded logits that were not asked for yet. */
  private ready = new Float32Array(0);

  constructor(
    private readonly source: ByteSource,
    readonly origin: LogitsOrigin,
    private next: number,
  ) {
    this.blocks = blocksOfLogits(origin);
  }

  get name(): string {
    return this.source.name;
  }

  async readInto(target: Float32Array): Promise<void> {
    for (let done = 0; done < target.length; ) {
      if (!this.ready.length) this.ready = await this.decodeNext();
      const piece = this.ready.subarray(0, target.length - done);
      target.set(piece, done);
      done += piece.length;
      this.ready = this.ready.subarray(piece.length);
    }
  }

  close(): Promise<void> {
    return this.source.close();
  }

  private async decodeNext(): Promise<Float32Array<ArrayBuffer>> {
    const block = this.blocks.next().value;
    const start = this.next;
    const end = this.source.byteLength - TRAILER_BYTES;
    const damaged = (what: string, until: number) =>
      new IntegrityError(`damaged: ${what}`, { file: this.name, start, end: until });
    if (!block || start + LENGTH_BYTES > end) throw damaged('fewer logits than the header says', end);
    const prefix = await this.source.read(start, start + LENGTH_BYTES);
    const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(0, true);
    this.next = start + LENGTH_BYTES + length;
    if (this.next > end || length > MAX_PAYLOAD_BYTES)
      throw damaged('a block longer than the file, or than its logits', end);
    try {
      const payload = await this.source.read(start + LENGTH_BYTES, this.next);
      const logits = new Float32Array(decodeBlock(losslessKernels(), payload, block).slice().buffer);
      if (logits.every(Number.isFinite)) return logits;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw damaged(error.message, this.next);
    }
    throw damaged('logits that are not finite numbers', this.next);
  }
}

async function createLogits(
  path: string,
  model: Model,
  predictions: Predictions,
  { force, inputs }: LogitsOptions,
): Promise<LogitsWriter> {
  await checkOutput(path, inputs.flatMap(inputsOf), force);
  const origin = {
    model: basename(resolve(model.id)),
    modelSha256: await modelDigest(model),
    ...predictions,
  };
  const output = await Output.create(path, { force });
  await output.write(encodeStart(origin));
  return new LogitsFileWriter(output, origin, model);
}

class LogitsFileWriter implements LogitsWriter {
  private readonly blocks: Iterator<Block, undefined>;
  private block: Block | undefined;
  /** Logits of the current block. */
  private readonly logits = new Float32Array(BLOCK_BYTES / 4);
  private filled = 0;
  private readonly coded = new Uint8Array(LENGTH_BYTES + MAX_PAYLOAD_BYTES);

  constructor(
    private readonly output: Output,
    origin: LogitsOrigin,
    private readonly model: Model,
  ) {
    this.blocks = blocksOfLogits(origin);
    this.block = this.blocks.next().value;
  }

  async write(logits: Float32Array): Promise<void> {
    if (!logits.every(Number.isFinite))
      throw new InputError('its logits are not finite numbers', { file: this.model.id });
    for (let done = 0; done < logits.length; ) {
      const piece = logits.subarray(done, done + this.block!.count - this.filled);
      this.logits.set(piece, this.filled);
      done += piece.length;
      this.filled += piece.length;
      if (this.filled === this.block!.count) await this.flush();
    }
  }

  async finish(): Promise<number> {
    await this.model.verify?.();
    await this.output.write(encodeTrailer(this.output.length));
    const bytes = this.output.length;
    await this.output.finish();
    return bytes;
  }

  discard(): Promise<void> {
    return this.output.discard();
  }

  private async flush(): Promise<void> {
    const elements = new Uint8Array(this.logits.buffer, 0, this.filled * 4);
    const length = encodeBlockInto(
      losslessKernels(),
      elements,
      this.block!,
      this.coded.subarray(LENGTH_BYTES),
    );
    new DataView(this.coded.buffer).setUint32(0, length, true);
    await this.output.write(this.coded.subarray(0, LENGTH_BYTES + length));
    this.filled = 0;
    this.block = this.blocks.next().value;
  }
}
