import { InputError } from '../../core/errors.js';
import { sumOf } from '../../core/sum.js';
import type { Window } from '../../evaluation/windows.js';
import type { Program } from '../../inference/program.js';

/** A window of tokens, all of which predict the next; or a masked window with its predicting positions. */
export type CalibrationWindow = ArrayLike<number> | Pick<Window, 'input' | 'rows'>;

/** Windows that are processed together. */
export interface Batch {
  readonly tokens: readonly ArrayLike<number>[];
  /** Predicting positions, as indices into the batch's [windows x length]. */
  readonly rows: readonly number[];
}

/** Tokens per batch. */
const BATCH_TOKENS = 1024;

/** The windows of a calibration, in batches. */
export class CalibrationBatches {
  /** Tokens per window. */
  readonly length: number;
  readonly batches: readonly Batch[];
  readonly tokens: number;
  /** Number of predicting tokens. */
  readonly predictions: number;

  /** @throws {InputError} for no windows, and windows that do not fit the model. */
  constructor(windows: readonly CalibrationWindow[], { plan, model }: Program, batchTokens = BATCH_TOKENS) {
    const whole = windows.map(withRows);
    const length = whole[0]?.input.length ?? 0;
    if (!(length > 0 && length <= plan.context) || whole.some(({ input }) => input.length !== length))
      throw new InputError(`expected calibration windows of one length, 1 to ${plan.context} tokens`, {
        file: model.id,
      });
    const wrong = whole.flatMap(({ input }) => Array.from(input)).find((token) => !(token < plan.vocabulary));
    if (wrong !== undefined)
      throw new InputError(`token ${wrong} is not in the vocabulary of ${plan.vocabulary}`, {
        file: model.id,
      });
    const atOnce = Math.max(1, Math.floor(batchTokens / length));
    this.length = length;
    this.tokens = whole.length * length;
    this.predictions = sumOf(whole, ({ rows }) => rows.length);
    this.batches = Array.from({ length: Math.ceil(whole.length / atOnce) }, (_, i) => {
      const batch = whole.slice(i * atOnce, (i + 1) * atOnce);
      return {
        tokens: batch.map(({ input }) => input),
        rows: batch.flatMap(({ rows }, window) => rows.map((row) => window * length + row)),
      };
    });
  }

  /** Returns the relative frequency of each token of the vocabulary. */
  tokenFrequencies(vocabulary: number): Float32Array {
    const counts = new Float64Array(vocabulary);
    for (const { tokens } of this.batches)
      for (const window of tokens) for (let i = 0; i < this.length; i++) counts[window[i]!]!++;
    return Float32Array.from(counts, (count) => count / this.tokens);
  }
}

function withRows(window: CalibrationWindow): { input: ArrayLike<number>; rows: readonly number[] } {
  if ('input' in window) return window;
  return { input: window, rows: Array.from({ length: window.length }, (_, i) => i) };
}
