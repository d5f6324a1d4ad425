import { weightTensor } from '../forward/ports.js';
import type { Program } from '../forward/program.js';
import type { Runtime, Tensor } from '../forward/runtime.js';
import { toFloats } from '../forward/widen.js';
import type { BrowserModel } from './open.js';

/** Hears of bytes decoded, and of how many there are. */
export type OnDecoded = (doneBytes: number, totalBytes: number) => void;

/**
 * A program's weights in the order of the file: decoded in workers while the rest is on its way, and widened as they come.
 * @returns by name; none where the file's tensors are read as others (GGUF).
 * @throws {InputError} on bytes that are not sound, NaN and infinity.
 */
export async function streamWeights(
  runtime: Runtime,
  model: BrowserModel,
  program: Program,
  onDecoded?: OnDecoded,
  signal?: AbortSignal,
): Promise<Map<string, Tensor>> {
  const weights = new Map<string, Tensor>();
  const { tensors: stored } = model.container.directory;
  const names = new Map(
    stored.map(({ name, sameAs }) => [name, sameAs === undefined ? name : stored[sameAs]!.name]),
  );
  const stages = [program.embedding.weights, ...program.layers, program.head.weights];
  const needed = [...new Set(stages.flatMap((stage) => stage.map(({ tensor }) => tensor.name)))];
  if (!needed.every((name) => names.has(name))) return weights;
  const wanted = new Set(needed.map((name) => names.get(name)!));
  const decodedBytes = model.tensors.reduce(
    (sum, { name, lengthBytes }) => sum + (names.get(name) === name ? lengthBytes : 0),
    0,
  );
  let done = 0;
  for await (const tensor of model.all(signal)) {
    done += tensor.lengthBytes;
    onDecoded?.(done, decodedBytes);
    if (wanted.has(tensor.name))
      weights.set(tensor.name, weightTensor(runtime, toFloats(model, tensor, tensor.bytes), tensor.shape));
  }
  for (const name of needed) weights.set(name, weights.get(names.get(name)!)!);
  return weights;
}
