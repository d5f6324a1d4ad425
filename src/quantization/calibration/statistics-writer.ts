import { Output } from '../../io/node/output.js';
import { checksum, hexOf, PIECE_BYTES } from '../../wasm/lossless.js';
import type { Identity } from './identity.js';
import type { StatisticsSink, TensorMoments } from './statistics.js';
import {
  type ArrayEntry,
  encodeDirectory,
  MAGIC,
  storedRows,
  type TensorEntry,
} from './statistics-format.js';

/** Writes statistics to a file as they are collected. The file gets its final name when it is complete. */
export class StatisticsWriter implements StatisticsSink {
  private readonly arrays: ArrayEntry[] = [];
  private readonly tensors: TensorEntry[] = [];
  /** Index of each written array; weak, so that arrays can be garbage collected. */
  private readonly known = new WeakMap<Float32Array, number>();

  private constructor(
    private readonly output: Output,
    private readonly identity: Identity,
  ) {}

  /** Creates the file. @throws {InputError} when the folder is not writable. */
  static async create(path: string, identity: Identity): Promise<StatisticsWriter> {
    const output = await Output.create(path);
    await output.write(MAGIC);
    return new StatisticsWriter(output, identity);
  }

  async add(name: string, { kind, transposed, inputs, outputs }: TensorMoments): Promise<void> {
    this.tensors.push({
      name,
      kind,
      transposed,
      inputs: await this.array(inputs, true),
      outputs: await this.array(outputs, kind === 'linear'),
    });
  }

  /** Completes the file and moves it to its final name. */
  async finish(): Promise<void> {
    const { identity, arrays, tensors } = this;
    await this.output.write(encodeDirectory({ identity, arrays, tensors }));
    await this.output.finish();
  }

  /** Removes the incomplete file. */
  discard(): Promise<void> {
    return this.output.discard();
  }

  /** Writes an array, unless it is already written. @returns its index. */
  private async array(values: Float32Array, symmetric: boolean): Promise<number> {
    const known = this.known.get(values);
    if (known !== undefined) return known;
    const size = symmetric ? Math.sqrt(values.length) : values.length;
    const start = this.output.length;
    const piece = new Float32Array(PIECE_BYTES / 4);
    let filled = 0;
    let sum = 0n;
    const flush = async () => {
      const bytes = new Uint8Array(piece.buffer, 0, filled * 4);
      sum = checksum(bytes, sum);
      await this.output.write(bytes);
      filled = 0;
    };
    for (const row of storedRows(values, size, symmetric))
      for (let done = 0; done < row.length; ) {
        const count = Math.min(row.length - done, piece.length - filled);
        piece.set(row.subarray(done, done + count), filled);
        done += count;
        filled += count;
        if (filled === piece.length) await flush();
      }
    if (filled) await flush();
    this.known.set(values, this.arrays.length);
    return this.arrays.push({ size, symmetric, start, checksum: hexOf(sum) }) - 1;
  }
}
