import { type ByteSource, readInto } from '../../core/byte-source.js';
import { InputError, IntegrityError } from '../../core/errors.js';
import { openFile } from '../../io/node/file.js';
import { checksum, hexOf, PIECE_BYTES } from '../../wasm/lossless.js';
import type { Identity } from './identity.js';
import type { Statistics, TensorMoments } from './statistics.js';
import {
  type ArrayEntry,
  decodeDirectory,
  directoryStart,
  MAGIC,
  type StatisticsDirectory,
  storedLength,
  storedRows,
  TRAILER_BYTES,
} from './statistics-format.js';
import { mirror } from './symmetric.js';

/** Statistics in a file. Arrays are read on demand, and their checksums verified. */
export class StatisticsFile implements Statistics {
  private constructor(
    private readonly source: ByteSource,
    private readonly directory: StatisticsDirectory,
  ) {}

  /** Opens a file. @throws {InputError} when it does not exist, is damaged or is not a statistics file. */
  static async open(path: string): Promise<StatisticsFile> {
    const source = await openFile(path);
    try {
      const { byteLength } = source;
      const magic = await source.read(0, Math.min(byteLength, MAGIC.length));
      if (byteLength < MAGIC.length + TRAILER_BYTES || MAGIC.some((byte, i) => magic[i] !== byte))
        throw new InputError('is not a statistics file', { file: path });
      const trailer = await source.read(byteLength - TRAILER_BYTES, byteLength);
      const start = directoryStart(trailer, path, byteLength);
      const json = await source.read(start, byteLength - TRAILER_BYTES);
      return new StatisticsFile(source, decodeDirectory(json, trailer, path, start));
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  get identity(): Identity {
    return this.directory.identity;
  }

  get tokens(): number {
    return this.identity.tokens;
  }

  /** Checks what the statistics were collected from. @throws {InputError} when it is not `identity`. */
  require(identity: Identity): void {
    for (const [key, expected] of Object.entries(identity) as [keyof Identity, unknown][]) {
      const found = this.identity[key];
      if (found === expected) continue;
      const what = `statistics of another ${key === 'tokens' ? 'number of tokens' : key}`;
      throw new InputError(`${what}: expected ${expected}, found ${found}`, { file: this.source.name });
    }
  }

  async tensor(name: string): Promise<readonly TensorMoments[]> {
    const found: TensorMoments[] = [];
    for (const { kind, transposed, ...entry } of this.directory.tensors)
      if (entry.name === name)
        found.push({
          kind,
          inputs: await this.array(entry.inputs, name),
          outputs: await this.array(entry.outputs, name),
          transposed,
        });
    return found;
  }

  close(): Promise<void> {
    return this.source.close();
  }

  private async array(index: number, tensor: string): Promise<Float32Array> {
    const entry = this.directory.arrays[index]!;
    const { size, symmetric } = entry;
    const values = new Float32Array(symmetric ? size * size : size);
    const pieces = this.pieces(entry, tensor);
    let piece = new Float32Array(0);
    for (const row of storedRows(values, size, symmetric))
      for (let done = 0; done < row.length; ) {
        if (!piece.length) piece = (await pieces.next()).value as Float32Array<ArrayBuffer>;
        const count = Math.min(row.length - done, piece.length);
        row.set(piece.subarray(0, count), done);
        piece = piece.subarray(count);
        done += count;
      }
    await pieces.next(); // the checksum is verified behind the last piece
    if (symmetric) mirror(values, size);
    return values;
  }

  /** Reads the stored numbers in pieces. @throws {IntegrityError} after the last one, when the checksum differs. */
  private async *pieces(entry: ArrayEntry, tensor: string): AsyncGenerator<Float32Array, void> {
    const end = entry.start + storedLength(entry) * 4;
    let sum = 0n;
    for (let start = entry.start; start < end; start += PIECE_BYTES) {
      const bytes = new Uint8Array(Math.min(PIECE_BYTES, end - start));
      await readInto(this.source, bytes, start);
      sum = checksum(bytes, sum);
      yield new Float32Array(bytes.buffer);
    }
    const place = { file: this.source.name, tensor, start: entry.start, end };
    if (hexOf(sum) !== entry.checksum)
      throw new IntegrityError('damaged: the checksum of statistics differs', place);
  }
}
