import type { Model } from '../../core/model.js';
import { GGML_GRIDS } from '../../grids/ggml.js';
import { Output } from '../../io/node/checked-output.js';
import { openFile } from '../../io/node/file.js';
import { aligned, type GgufEntry, writeGgufHeader } from '../../models/gguf/header-writer.js';
import type { GgufType } from '../../models/gguf/types.js';
import type { Statistics } from '../../quantization/calibration/statistics.js';
import { GridQuantizer, type GridTask } from '../../quantization/grid-quantizer.js';
import type { QuantizationThreads } from '../../quantization/threads.js';
import { ggufBytes, writeGgufTensors } from '../export/gguf-file.js';
import { withFileType } from '../export/gguf-plan.js';
import { type GgufView, type PlannedTensor, planTensor, storedBytes } from '../export/gguf-tensors.js';
import type { GgufWriteType } from '../export/gguf-types.js';
import type { Described } from './described.js';
import { tasksOf } from './tasks.js';
import type { ChosenTypes } from './types.js';

/** What files of one model are made with. */
export interface FileParts {
  readonly model: Model;
  readonly described: Described;
  /** Undefined for rounding without statistics. */
  readonly statistics: Statistics | undefined;
  readonly threads: QuantizationThreads;
  readonly signal?: AbortSignal | undefined;
}

/** How a file is written. */
export interface FileOptions {
  readonly force: boolean;
  /** A file of the same model: tensors of the same type are copied from it. */
  readonly previous?: QuantizedFile | undefined;
  /** Called with the bytes written so far, and the total. */
  readonly onProgress: (done: number, total: number) => void;
}

/** A tensor of a file, and where it is. */
interface Placed {
  readonly type: GgufType;
  readonly position: number;
  readonly lengthBytes: number;
}

/** Bytes copied at once. */
const COPY_BYTES = 2 ** 22;

/** A quantized GGUF file that has no name yet. */
export class QuantizedFile {
  private constructor(
    private readonly output: Output,
    private readonly tensors: readonly PlannedTensor[],
    private readonly fileType: number,
    private readonly placed: ReadonlyMap<string, Placed>,
  ) {}

  /**
   * Quantizes and writes all tensors, and a header that can be replaced.
   * @param entries the metadata, but for the file's type.
   * @throws {InputError} for weights that a type cannot hold, and when the file cannot be written.
   */
  static async write(
    parts: FileParts,
    path: string,
    chosen: ChosenTypes,
    entries: readonly GgufEntry[],
    { force, previous, onProgress }: FileOptions,
  ): Promise<QuantizedFile> {
    const tensors = planned(parts, chosen, previous);
    const header = headerOf(entries, chosen.fileType, tensors);
    const placed = place(tensors, header.length);
    const output = await Output.create(path, { force });
    try {
      await writeGgufTensors(output, header, tensors, onProgress, parts.signal);
      await output.flush();
      return new QuantizedFile(output, tensors, chosen.fileType, placed);
    } catch (error) {
      await output.discard();
      throw error;
    }
  }

  /** Returns the bytes of a file that {@link write} would write. */
  static sizeOf(parts: FileParts, chosen: ChosenTypes, entries: readonly GgufEntry[]): number {
    const tensors = planned(parts, chosen, undefined);
    return ggufBytes(tensors, headerOf(entries, chosen.fileType, tensors).length);
  }

  /** Its temporary path. */
  get path(): string {
    return this.output.partial;
  }

  get lengthBytes(): number {
    return this.output.length;
  }

  /** Replaces the metadata by one of the same length. */
  async setEntries(entries: readonly GgufEntry[]): Promise<void> {
    await this.output.overwrite(headerOf(entries, this.fileType, this.tensors), 0);
  }

  /** Writes tensors again, whose types and shapes are the same. */
  async replace(tensors: readonly PlannedTensor[]): Promise<void> {
    for (const tensor of tensors) {
      let { position } = this.placed.get(tensor.name)!;
      for await (const bytes of tensor.pieces()) {
        await this.output.overwrite(bytes, position);
        position += bytes.length;
      }
    }
  }

  /** Reads a tensor of this type, in pieces; undefined if it has another type here. */
  piecesOf(name: string, type: GgufType): PlannedTensor['pieces'] | undefined {
    const there = this.placed.get(name);
    if (there?.type !== type) return undefined;
    const { path } = this;
    return async function* pieces() {
      const source = await openFile(path);
      try {
        const end = there.position + there.lengthBytes;
        for (let at = there.position; at < end; at += COPY_BYTES)
          yield await source.read(at, Math.min(end, at + COPY_BYTES));
      } finally {
        await source.close();
      }
    };
  }

  /** Gives the file its name. @param check called just before. */
  finish(check: () => Promise<void> | undefined): Promise<void> {
    return this.output.finish(check);
  }

  discard(): Promise<void> {
    return this.output.discard();
  }
}

function headerOf(
  entries: readonly GgufEntry[],
  type: number,
  tensors: readonly PlannedTensor[],
): Uint8Array {
  return writeGgufHeader(withFileType(entries, type), tensors);
}

function place(tensors: readonly PlannedTensor[], start: number): Map<string, Placed> {
  let position = start;
  return new Map(
    tensors.map(({ name, type, lengthBytes }) => {
      const placed = { type, position, lengthBytes };
      position = aligned(position + lengthBytes);
      return [name, placed];
    }),
  );
}

/** Plans all tensors: those of types with grids are quantized when they are read, one after another. */
function planned(
  parts: FileParts,
  { types }: ChosenTypes,
  previous: QuantizedFile | undefined,
): PlannedTensor[] {
  const { described, model } = parts;
  const quantizer = new GridQuantizer(parts.threads);
  const expected: GridTask[] = [];
  const tensors = described.views.map((view) => {
    const type = types.get(view.name)!;
    const grid = GGML_GRIDS[type.name];
    if (!grid) return planTensor(model, view, type.name as GgufWriteType);
    const copied = previous?.piecesOf(view.name, type);
    if (copied) return { ...entryOf(view, type), pieces: copied };
    const tasks = tasksOf(model, parts.statistics, view, grid.format);
    expected.push(...tasks);
    async function* pieces() {
      for (const task of tasks) yield grid!.pack(await quantizer.take(task));
    }
    return { ...entryOf(view, type), pieces };
  });
  quantizer.expect(expected);
  return [...described.added, ...tensors];
}

function entryOf({ name, shape }: GgufView, type: GgufType): Omit<PlannedTensor, 'pieces'> {
  return { name, shape, type, lengthBytes: storedBytes(type, shape) };
}
