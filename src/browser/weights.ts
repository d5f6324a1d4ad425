import { Arriving } from '../core/arriving.js';
import { toFloats } from '../core/floats.js';
import { Meter, type RunOptions } from '../core/progress.js';
import type { IncomingWeights } from '../inference/decoder.js';
import type { Program } from '../inference/program.js';
import type { Runtime, Tensor } from '../onnx/runtime.js';
import type { BrowserModel } from './open.js';

/**
 * Reads a program's weights in the order of the file: decoded in workers while the rest is fetched, and widened. All of the file is
 * read, whether the program needs it or not.
 * @returns undefined where the file's tensors are read as others (GGUF, packed weights).
 */
export function streamWeights(
  runtime: Runtime,
  model: BrowserModel,
  program: Program,
  options: RunOptions,
): IncomingWeights | undefined {
  if (program.model !== model) return;
  const { tensors: stored } = model.container.directory;
  const firstNames = new Map(
    stored.map(({ name, sameAs }) => [name, sameAs === undefined ? name : stored[sameAs]!.name]),
  );
  const stages = [program.embedding.weights, ...program.layers, program.head.weights];
  const needed = new Set(stages.flatMap((stage) => stage.map(({ tensor }) => tensor.name)));
  if (![...needed].every((name) => firstNames.has(name))) return;
  const arriving = new Map<string, Arriving<Tensor>>();
  for (const name of needed) {
    const first = firstNames.get(name)!;
    if (!arriving.has(first)) arriving.set(first, new Arriving());
  }
  const totalBytes = model.tensors.reduce(
    (sum, { name, lengthBytes }) => sum + (firstNames.get(name) === name ? lengthBytes : 0),
    0,
  );
  const read = async () => {
    const meter = new Meter(options, 'decoding', totalBytes);
    for await (const tensor of model.all(options.signal)) {
      meter.add(tensor.lengthBytes);
      arriving.get(tensor.name)?.resolve(runtime.floats(toFloats(model, tensor, tensor.bytes), tensor.shape));
    }
  };
  const weights = new Map([...needed].map((name) => [name, arriving.get(firstNames.get(name)!)!.value]));
  const finished = read().catch((error) => {
    for (const { reject } of arriving.values()) reject(error); // tensors that have arrived are not affected
    throw error;
  });
  finished.catch(() => {}); // awaited later
  return { weights, finished };
}
