import type { Program } from '../inference/program.js';
import { Head, type HiddenStates } from '../inference/stream.js';
import type { Runtime } from '../onnx/runtime.js';
import type { StoredLogits } from './stored-logits.js';

/** Gives the logits of predicted positions, window by window from the first to the last. */
export interface LogitsSource {
  /** Returns logits [rows, vocabulary], valid until the next call. */
  logits(window: number, rows: readonly number[]): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Maximum number of logits in memory per model: 64 MiB. */
const CHUNK_LOGITS = 2 ** 24;

/** Returns how many rows of logits are in memory at once. */
export const rowsAtOnce = (vocabulary: number) => Math.max(1, Math.floor(CHUNK_LOGITS / vocabulary));

/** A model's head, with memory for its input rows and output logits. */
export class HeadLogits implements LogitsSource {
  private constructor(
    private readonly head: Head,
    private readonly hidden: HiddenStates,
    private readonly rows: Float32Array,
    private readonly results: Float32Array,
    private readonly hiddenSize: number,
  ) {}

  /** @param hidden the model's hidden states before the head for all windows. */
  static async load(runtime: Runtime, program: Program, hidden: HiddenStates, signal?: AbortSignal) {
    const { hiddenSize, vocabulary } = program.plan;
    const most = Math.min(rowsAtOnce(vocabulary), hidden.length);
    return new HeadLogits(
      await Head.load(runtime, program, signal),
      hidden,
      new Float32Array(most * hiddenSize),
      new Float32Array(most * vocabulary),
      hiddenSize,
    );
  }

  logits(window: number, rows: readonly number[]): Promise<Float32Array> {
    const states = this.hidden.window(window);
    const size = this.hiddenSize;
    for (const [i, row] of rows.entries())
      this.rows.set(states.subarray(row * size, (row + 1) * size), i * size);
    return this.head.logits(this.rows.subarray(0, rows.length * size), this.results);
  }

  release(): Promise<void> {
    return this.head.release();
  }
}

/** Logits that were stored, whose owner closes them. */
export class RestoredLogits implements LogitsSource {
  private results = new Float32Array(0);

  constructor(
    private readonly stored: StoredLogits,
    private readonly vocabulary: number,
  ) {}

  async logits(_window: number, rows: readonly number[]): Promise<Float32Array> {
    const length = rows.length * this.vocabulary;
    if (this.results.length < length) this.results = new Float32Array(length);
    const logits = this.results.subarray(0, length);
    await this.stored.readInto(logits);
    return logits;
  }

  async release(): Promise<void> {}
}
