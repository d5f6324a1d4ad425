import { Meter, type RunOptions } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import type { Program } from '../inference/program.js';
import { type HiddenStates, streamHidden } from '../inference/stream.js';
import type { Runtime } from '../onnx/runtime.js';
import { HeadLogits, type LogitsSource, RestoredLogits } from './logits-source.js';
import { type RunningEstimate, runningEstimates } from './running.js';
import { type Scores, scoreWindows } from './score.js';
import type { LogitsWriter, StoredLogits } from './stored-logits.js';
import type { Window } from './windows.js';

/** What is run, and what is read and written beside it. */
export interface Passes {
  readonly model: Program;
  /** The reference, or its stored logits. */
  readonly reference: Program | undefined;
  readonly stored: StoredLogits | undefined;
  /** Receives the logits of the reference, without one those of the model. */
  readonly saved: LogitsWriter | undefined;
}

export interface PassOptions extends RunOptions {
  readonly onWindow?: ((estimate: RunningEstimate) => void) | undefined;
}

/** Runs the models on all windows, layer by layer up to their heads, then the heads window by window, and scores their logits. */
export async function runPasses(
  runtime: Runtime,
  { model, reference, stored, saved }: Passes,
  windows: readonly Window[],
  options: PassOptions,
): Promise<Scores> {
  const { signal } = options;
  const inputs = windows.map(({ input }) => input);
  const tokens = inputs.length * inputs[0]!.length;
  const programs = reference ? [model, reference] : [model];
  // Progress counts every layer, the embedding and the head as one step per token.
  const steps = sumOf(programs, ({ plan }) => plan.layers.length + 2);
  const meter = new Meter(options, 'evaluating', tokens * programs.length, 'tokens');
  const reach = (tokenLayers: number) => meter.reach((tokenLayers / steps) * programs.length);
  let before = 0;
  const hidden: HiddenStates[] = [];
  for (const each of programs) {
    const onProgress = (tokenLayers: number) => reach(before + tokenLayers);
    hidden.push(await streamHidden(runtime, each, inputs, { onProgress, signal }));
    before += tokens * (each.plan.layers.length + 1);
  }
  const sources: LogitsSource[] = [];
  try {
    for (const [i, each] of programs.entries())
      sources.push(await HeadLogits.load(runtime, each, hidden[i]!, signal));
    const { vocabulary } = model.plan;
    if (stored) sources.push(new RestoredLogits(stored, vocabulary));
    const perWindow = (tokens * steps - before) / windows.length;
    const estimate = runningEstimates(windows.length);
    return await scoreWindows(sources[0]!, sources[1], windows, {
      vocabulary,
      save: saved && ((logits) => saved.write(logits)),
      onWindow: (done, scores) => {
        reach(before + done * perWindow);
        options.onWindow?.(estimate(done, scores));
      },
      signal,
    });
  } finally {
    await Promise.all(sources.map((source) => source.release()));
  }
}
