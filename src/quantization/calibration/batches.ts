import { InputError } from '../../core/errors.js';
import { sumOf } from '../../core/sum.js';
import type { Window } from '../../evaluation/windows.js';
import type { Trunk } from '../../inference/program.js';

/** A window of tokens, all of which predict the next; or a masked window with its predicting positions. */
export type CalibrationWindow = ArrayLike<number> | Pick<Window, 'input' | 'rows'>;

/** Windows of one length that are processed together. */
export interface Batch {
  /** Tokens per window. */
  readonly length: number;
  readonly tokens: readonly ArrayLike<number>[];
  /** Predicting positions, as indices into the batch's [windows x length]. */
  readonly rows: readonly number[];
}

/** Tokens per batch. */
const BATCH_TOKENS = 1024;

/** The windows of a calibration, in batches. */
export class CalibrationBatches {
  /** Tokens of the longest window. */
  readonly length: number;
  readonly batches: readonly Batch[];
  readonly tokens: number;
  /** Number of predicting tokens; for an embedding model, number of sentences. */
  readonly predictions: number;

  /**
   * @param isOfSentences whether windows are sentences of an embedding model, each of which counts as one prediction.
   * @throws {InputError} for no windows, and windows that do not fit the model; only sentences have different lengths.
   */
  constructor(
    windows: readonly CalibrationWindow[],
    program: Trunk,
    batchTokens = BATCH_TOKENS,
    readonly isOfSentences = false,
  ) {
    const { plan, model } = program;
    const whole = windows.map(withRows);
    const length = Math.max(0, ...whole.map(({ input }) => input.length));
    const isOneLength = whole.every(({ input }) => input.length === length);
    if (!(length > 0 && length <= plan.context && (isOneLength || isOfSentences)))
      throw new InputError(`expected calibration windows of one length, 1 to ${plan.context} tokens`, {
        file: model.id,
      });
    const wrong = whole.flatMap(({ input }) => Array.from(input)).find((token) => !(token < plan.vocabulary));
    if (wrong !== undefined)
      throw new InputError(`token ${wrong} is not in the vocabulary of ${plan.vocabulary}`, {
        file: model.id,
      });
    this.length = length;
    this.tokens = sumOf(whole, ({ input }) => input.length);
    this.predictions = isOfSentences ? whole.length : sumOf(whole, ({ rows }) => rows.length);
    this.batches = batchesOf(whole, batchTokens);
  }

  /** Returns the relative frequency of each token of the vocabulary. */
  tokenFrequencies(vocabulary: number): Float32Array {
    const counts = new Float64Array(vocabulary);
    for (const { tokens } of this.batches)
      for (const window of tokens) for (let i = 0; i < window.length; i++) counts[window[i]!]!++;
    return Float32Array.from(counts, (count) => count / this.tokens);
  }

  /** Returns the share of the tokens that are at each position, up to the longest window. */
  positionFrequencies(): Float32Array {
    const counts = new Float32Array(this.length);
    for (const { tokens, length } of this.batches)
      for (let i = 0; i < length; i++) counts[i]! += tokens.length / this.tokens;
    return counts;
  }
}

type WholeWindow = { readonly input: ArrayLike<number>; readonly rows: readonly number[] };

/** Divides windows into batches, in order of their lengths. */
function batchesOf(windows: readonly WholeWindow[], batchTokens: number): Batch[] {
  const byLength = new Map<number, WholeWindow[]>();
  for (const window of windows) {
    const { length } = window.input;
    if (!byLength.has(length)) byLength.set(length, []);
    byLength.get(length)!.push(window);
  }
  return [...byLength]
    .sort(([a], [b]) => a - b)
    .flatMap(([length, alike]) => {
      const atOnce = Math.max(1, Math.floor(batchTokens / length));
      return Array.from({ length: Math.ceil(alike.length / atOnce) }, (_, i): Batch => {
        const batch = alike.slice(i * atOnce, (i + 1) * atOnce);
        return {
          length,
          tokens: batch.map(({ input }) => input),
          rows: batch.flatMap(({ rows }, window) => rows.map((row) => window * length + row)),
        };
      });
    });
}

function withRows(window: CalibrationWindow): WholeWindow {
  if ('input' in window) return window;
  return { input: window, rows: Array.from({ length: window.length }, (_, i) => i) };
}
