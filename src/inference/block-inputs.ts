import { BLOCK_INPUTS, causalMask } from '../architectures/attention.js';
import { rotaryTables } from '../architectures/rotary.js';
import { readFloats } from '../core/floats.js';
import type { Feeds, Runtime, Tensor } from '../onnx/runtime.js';
import type { Binding, Program } from './program.js';

/**
 * Returns the inputs of blocks other than hidden states and weights, for tokens at positions `start` to `end`: the layer's mask and the
 * rotary tables.
 */
export function positionFeeds(
  runtime: Runtime,
  { plan }: Program,
  start: number,
  end: number,
): (layer: number) => Feeds {
  const length = end - start;
  const feeds: Record<string, Tensor> = {};
  if (plan.rotary) {
    const { cosines, sines } = rotaryTables(plan.rotary, start, end);
    const shape = [length, plan.rotary.size / 2];
    feeds[BLOCK_INPUTS.cosines] = runtime.floats(cosines, shape);
    feeds[BLOCK_INPUTS.sines] = runtime.floats(sines, shape);
  }
  if (plan.kind === 'masked') return () => feeds;
  const byWindow = new Map<number | undefined, Feeds>();
  return (layer) => {
    const window = plan.window?.(layer);
    if (!byWindow.has(window)) {
      const mask = runtime.floats(causalMask(start, end, window), [length, end]);
      byWindow.set(window, { ...feeds, [BLOCK_INPUTS.mask]: mask });
    }
    return byWindow.get(window)!;
  };
}

/** Returns the inputs of the embedding: windows of tokens, all of the same length, from position `start`. */
export function tokenFeeds(
  runtime: Runtime,
  { plan, embedding }: Program,
  windows: readonly ArrayLike<number>[],
  start = 0,
): Feeds {
  const length = windows[0]!.length;
  const tokens = windows.flatMap((window) => Array.from(window));
  const feeds = { tokens: runtime.integers(tokens, [windows.length, length]) };
  if (!embedding.graph.inputNames.has('positions')) return feeds;
  const positions = Array.from({ length }, (_, i) => plan.firstPosition + start + i);
  return { ...feeds, positions: runtime.integers(positions, [length]) };
}

/**
 * Reads weights as float32. Tensors in `known`, by name, are reused; others are added to it.
 * @throws {InputError} for bytes that do not decode, NaN and infinity.
 */
export async function loadWeights(
  runtime: Runtime,
  { model }: Program,
  weights: readonly Binding[],
  signal?: AbortSignal,
  known?: Map<string, Tensor | Promise<Tensor>>,
): Promise<Feeds> {
  const feeds: Record<string, Tensor> = {};
  for (const { input, tensor } of weights) {
    const { name, shape } = tensor;
    feeds[input] = (await known?.get(name)) ?? runtime.floats(await readFloats(model, tensor, signal), shape);
    known?.set(name, feeds[input]);
  }
  return feeds;
}
