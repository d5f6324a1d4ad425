import { sumOf } from '../core/sum.js';
import type { Program } from '../inference/program.js';
import { Head, type HiddenStates } from '../inference/stream.js';
import type { Runtime } from '../onnx/runtime.js';
import { divergence, predict } from './logits.js';
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

/** A model and its hidden states before the head for all windows. */
export interface Streamed {
  readonly program: Program;
  readonly hidden: HiddenStates;
}

/** Maximum number of logits in memory per model: 64 MiB. */
const CHUNK_LOGITS = 2 ** 24;

/** Runs the heads on a few rows at a time and scores their logits, which are not stored. */
export async function scoreWindows(
  runtime: Runtime,
  model: Streamed,
  reference: Streamed | undefined,
  windows: readonly Window[],
  options: { readonly onWindow?: (done: number) => void; readonly signal?: AbortSignal | undefined } = {},
): Promise<Scores> {
  const { vocabulary } = model.program.size;
  const tokens = sumOf(windows, ({ rows }) => rows.length);
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK_LOGITS / vocabulary));
  const scores = emptyScores(tokens, reference !== undefined);
  const ours = await Reader.open(runtime, model, rowsAtOnce, options.signal);
  let theirs: Reader | undefined;
  let at = 0;
  try {
    theirs = reference && (await Reader.open(runtime, reference, rowsAtOnce, options.signal));
    for (const [index, { rows, targets }] of windows.entries()) {
      for (let start = 0; start < rows.length; start += rowsAtOnce) {
        options.signal?.throwIfAborted();
        const chunk = rows.slice(start, start + rowsAtOnce);
        const logits = await ours.logits(index, chunk);
        const expected = await theirs?.logits(index, chunk);
        for (let row = 0; row < chunk.length; row++)
          score(scores, at++, logits, expected, row * vocabulary, vocabulary, targets[start + row]!);
      }
      options.onWindow?.(index + 1);
    }
    return scores;
  } finally {
    await Promise.all([ours.release(), theirs?.release()]);
  }
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

/** A head, with memory for its input rows and output logits. */
class Reader {
  private constructor(
    private readonly head: Head,
    private readonly hidden: HiddenStates,
    private readonly rows: Float32Array,
    private readonly results: Float32Array,
    private readonly hiddenSize: number,
  ) {}

  static async open(runtime: Runtime, { program, hidden }: Streamed, rows: number, signal?: AbortSignal) {
    const { hiddenSize, vocabulary } = program.size;
    const most = Math.min(rows, hidden.length);
    return new Reader(
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
