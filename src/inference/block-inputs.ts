import { BLOCK_INPUTS, needsMask } from '../architectures/attention.js';
import { bucketsOf, maskOf } from '../architectures/masks.js';
import { type Rotary, rotaryTables } from '../architectures/rotary.js';
import { type Attention, isAttention, type LayerPositions } from '../architectures/settings.js';
import { readFloats, readPart } from '../core/floats.js';
import type { Feeds, Runtime, Tensor } from '../onnx/runtime.js';
import type { Binding, Trunk } from './program.js';

/**
 * Returns the inputs of layers other than hidden states, weights and caches, for tokens at positions `start` to `end`: the layer's mask,
 * its rotary tables and its buckets of distances. Layers with the same positions share them.
 */
export function positionFeeds(
  runtime: Runtime,
  { plan }: Trunk,
  start: number,
  end: number,
): (layer: number) => Feeds {
  const known = new Map<unknown, Feeds>();
  const once = (key: unknown, make: () => Feeds) => {
    const found = known.get(key) ?? make();
    known.set(key, found);
    return found;
  };
  return (layer) => {
    const { mixer } = plan.layers[layer]!;
    const positions = plan.positions[layer]!;
    if (!isAttention(mixer)) return {};
    const { rotary } = positions;
    const { relative } = mixer;
    return {
      ...(rotary && mixer.rotary && once(rotary, () => rotaryFeeds(runtime, rotary, start, end))),
      ...(needsMask(mixer) &&
        once(positions.bias ?? `mask ${positions.window}`, () => ({
          [BLOCK_INPUTS.mask]: mask(runtime, mixer, positions, start, end),
        }))),
      ...(relative &&
        once('buckets', () => ({
          [BLOCK_INPUTS.buckets]: runtime.integers(bucketsOf(end, relative.buckets, positions.maxDistance!), [
            end,
            end,
          ]),
        }))),
    };
  };
}

function rotaryFeeds(runtime: Runtime, rotary: Rotary, start: number, end: number): Feeds {
  const shape = [end - start, rotary.size / 2];
  const { cosines, sines } = rotaryTables(rotary, start, end);
  return {
    [BLOCK_INPUTS.cosines]: runtime.floats(cosines, shape),
    [BLOCK_INPUTS.sines]: runtime.floats(sines, shape),
  };
}

function mask(
  runtime: Runtime,
  { causal, heads, keyValueHeads }: Attention,
  positions: LayerPositions,
  start: number,
  end: number,
): Tensor {
  const byHead = positions.bias ? [keyValueHeads, heads / keyValueHeads] : [];
  return runtime.floats(maskOf(start, end, causal, positions), [...byHead, end - start, end]);
}

/** Returns the inputs of the embedding: windows of tokens, all of the same length, from position `start`. */
export function tokenFeeds(
  runtime: Runtime,
  { plan, embedding }: Trunk,
  windows: readonly ArrayLike<number>[],
  start = 0,
): Feeds {
  const length = windows[0]!.length;
  const tokens = windows.flatMap((window) => Array.from(window));
  const feeds = { tokens: runtime.integers(tokens, [windows.length, length]) };
  if (!embedding.graph.inputNames.has('positions')) return feeds;
  const offset = plan.embedding.positions!.offset;
  const positions = Array.from({ length }, (_, i) => offset + start + i);
  return { ...feeds, positions: runtime.integers(positions, [length]) };
}

/**
 * Reads weights as float32. Tensors in `known`, by name, are reused; others are added to it.
 * @throws {InputError} for bytes that do not decode, NaN and infinity.
 */
export async function loadWeights(
  runtime: Runtime,
  { model }: Pick<Trunk, 'model'>,
  weights: readonly Binding[],
  signal?: AbortSignal,
  known?: Map<string, Tensor | Promise<Tensor>>,
): Promise<Feeds> {
  const feeds: Record<string, Tensor> = {};
  for (const { input, tensor, part } of weights) {
    if (part) {
      const shape = tensor.shape.slice(1);
      feeds[input] = runtime.floats(await readPart(model, tensor, part, signal), shape);
      continue;
    }
    const { name, shape } = tensor;
    feeds[input] = (await known?.get(name)) ?? runtime.floats(await readFloats(model, tensor, signal), shape);
    known?.set(name, feeds[input]);
  }
  return feeds;
}
