import { sumOf } from '../core/sum.js';
import { divergence, predict } from './logits.js';
import { type LogitsSource, rowsAtOnce } from './logits-source.js';
import type { Window } from './windows.js';

/** Values for every predicted token, window by window. */
export interface Scores {
  /** -log p(token), in nats. */
  readonly nll: Float64Array;
  readonly comparison: Comparison | undefined;
}

interface Comparison {
  readonly referenceNll: Float64Array;
  /** KL(reference || model), in nats. */
  readonly kl: Float64Array;
  /** 1 where both models have the same most probable token, else 0. */
  readonly agrees: Float64Array;
}

export interface ScoreOptions {
  readonly vocabulary: number;
  /** Called with the logits of the reference, without one of the model, in order. */
  readonly save?: ((logits: Float32Array) => Promise<void>) | undefined;
  /** Called after each window with the number of windows done and the scores so far. */
  readonly onWindow?: (done: number, scores: Scores) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Scores the logits of a few rows at a time. */
export async function scoreWindows(
  model: LogitsSource,
  reference: LogitsSource | undefined,
  windows: readonly Window[],
  { vocabulary, save, onWindow, signal }: ScoreOptions,
): Promise<Scores> {
  const most = rowsAtOnce(vocabulary);
  const scores = emptyScores(
    sumOf(windows, ({ rows }) => rows.length),
    reference !== undefined,
  );
  let at = 0;
  for (const [index, { rows, targets }] of windows.entries()) {
    for (let start = 0; start < rows.length; start += most) {
      signal?.throwIfAborted();
      const chunk = rows.slice(start, start + most);
      const logits = await model.logits(index, chunk);
      const expected = await reference?.logits(index, chunk);
      await save?.(expected ?? logits);
      for (let row = 0; row < chunk.length; row++)
        score(scores, at++, logits, expected, row * vocabulary, vocabulary, targets[start + row]!);
    }
    onWindow?.(index + 1, scores);
  }
  return scores;
}

function emptyScores(tokens: number, compared: boolean): Scores {
  const values = () => new Float64Array(tokens);
  return {
    nll: values(),
    comparison: compared ? { referenceNll: values(), kl: values(), agrees: values() } : undefined,
  };
}

function score(
  { nll, comparison }: Scores,
  at: number,
  logits: Float32Array,
  expected: Float32Array | undefined,
  start: number,
  vocabulary: number,
  target: number,
): void {
  const ours = predict(logits, start, vocabulary, target);
  nll[at] = ours.nll;
  if (!expected || !comparison) return;
  const theirs = predict(expected, start, vocabulary, target);
  comparison.referenceNll[at] = theirs.nll;
  comparison.agrees[at] = Number(theirs.best === ours.best);
  comparison.kl[at] = divergence(expected, logits, start, vocabulary, {
    reference: theirs.logNormalizer,
    other: ours.logNormalizer,
  });
}
