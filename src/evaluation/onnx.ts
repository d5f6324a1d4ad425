import type { Model } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import { embedTokens } from '../inference/embedding/embed.js';
import { openEmbeddingProgram } from '../inference/embedding/program.js';
import { openProgram } from '../inference/program.js';
import { streamHidden } from '../inference/stream.js';
import { floatsOf, type Runtime } from '../onnx/runtime.js';
import type { OnnxModel } from '../transformers-js/onnx-model.js';
import { comparedVectors, type EmbeddingComparison, type TokenizedSentences } from './embedding/compare.js';
import { type Evaluation, evaluationOf } from './evaluate.js';
import { HeadLogits, type LogitsSource } from './logits-source.js';
import { scoreWindows } from './score.js';
import { cutWindows } from './windows.js';

/** What an ONNX file is compared with, and on which tokens. */
export interface OnnxComparison extends RunOptions {
  /** The original. */
  readonly against: Model;
  readonly tokens: readonly number[];
  /** Tokens per window. */
  readonly window: number;
  readonly maskToken?: number | undefined;
}

/** Measures the perplexity of an ONNX file, and its divergence from the original. @throws {InputError} for an original that cannot be run. */
export async function evaluateOnnx(
  runtime: Runtime,
  onnx: OnnxModel,
  { against, tokens, window: length, maskToken, ...options }: OnnxComparison,
): Promise<Evaluation> {
  const { signal } = options;
  const reference = await openProgram(against, signal);
  const { kind, vocabulary, layers } = reference.plan;
  const windows = cutWindows(tokens, { kind, length, vocabulary, maskToken });
  const inputs = windows.map(({ input }) => input);
  const total = windows.length * length;
  const meter = new Meter(options, 'evaluating', 2 * total, 'tokens');
  const onProgress = (tokenLayers: number) => meter.reach(tokenLayers / (layers.length + 1));
  const hidden = await streamHidden(runtime, reference, inputs, { onProgress, signal });
  const head = await HeadLogits.load(runtime, reference, hidden, signal);
  try {
    const source = new OnnxLogits(onnx, inputs, vocabulary);
    const onWindow = (done: number) => meter.reach(total + done * length);
    const scores = await scoreWindows(source, head, windows, { vocabulary, onWindow, signal });
    const about = { model: against.id, against: against.id, kind };
    return evaluationOf(scores, windows, about);
  } finally {
    await head.release();
  }
}

/** Compares the embeddings of an ONNX file with the original's. @throws {InputError} for an original that cannot be run. */
export async function compareOnnxEmbeddings(
  runtime: Runtime,
  onnx: OnnxModel,
  against: Model,
  { sentences, first }: TokenizedSentences,
  options: RunOptions,
): Promise<EmbeddingComparison> {
  const { signal } = options;
  const reference = await openEmbeddingProgram(against, signal);
  const tokens = sumOf(sentences, ({ length }) => length);
  const meter = new Meter(options, 'evaluating', 2 * tokens, 'tokens');
  const theirs = await embedTokens(runtime, reference, sentences, {
    first,
    onProgress: (done) => meter.reach(done),
    signal,
  });
  const ours: Float32Array[] = [];
  for (const sentence of sentences) {
    signal?.throwIfAborted();
    ours.push(floatsOf((await onnx.run(sentence)).sentence_embedding).slice());
    meter.add(sentence.length);
  }
  return { model: against.id, ...comparedVectors(reference, sentences, ours, theirs) };
}

/** The logits of an ONNX file, of one window at a time. */
class OnnxLogits implements LogitsSource {
  private window = -1;
  private values = new Float32Array(0);

  constructor(
    private readonly onnx: OnnxModel,
    private readonly inputs: readonly ArrayLike<number>[],
    private readonly vocabulary: number,
  ) {}

  async logits(window: number, rows: readonly number[]): Promise<Float32Array> {
    const { vocabulary } = this;
    if (window !== this.window) {
      this.values = floatsOf((await this.onnx.run(this.inputs[window]!)).logits) as Float32Array<ArrayBuffer>;
      this.window = window;
    }
    const found = new Float32Array(rows.length * vocabulary);
    for (const [i, row] of rows.entries())
      found.set(this.values.subarray(row * vocabulary, (row + 1) * vocabulary), i * vocabulary);
    return found;
  }

  async release(): Promise<void> {}
}
