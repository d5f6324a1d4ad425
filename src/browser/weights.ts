import { toFloats } from '../core/floats.js';
import type { IncomingWeights } from '../inference/decoder.js';
import type { Program } from '../inference/program.js';
import type { Runtime, Tensor } from '../onnx/runtime.js';
import type { BrowserModel } from './open.js';

/** Called with the bytes decoded and their total. */
export type OnDecoded = (doneBytes: number, totalBytes: number) => void;

/**
 * Starts reading a program's weights in file order: decoded in workers during the download, and converted to float32. The whole file is
 * read, even tensors that the program does not need.
 * @returns undefined if the file's tensors are presented in another format (GGUF).
 */
export function streamWeights(
  runtime: Runtime,
  model: BrowserModel,
  program: Program,
  onDecoded?: OnDecoded,
  signal?: AbortSignal,
): IncomingWeights | undefined {
  const { tensors: stored } = model.container.directory;
  const firstNames = new Map(
    stored.map(({ name, sameAs }) => [name, sameAs === undefined ? name : stored[sameAs]!.name]),
  );
  const stages = [program.embedding.weights, ...program.layers, program.head.weights];
  const needed = new Set(stages.flatMap((stage) => stage.map(({ tensor }) => tensor.name)));
  if (![...needed].every((name) => firstNames.has(name))) return;
  const arriving = new Map<string, Arriving>();
  for (const name of needed) {
    const first = firstNames.get(name)!;
    if (!arriving.has(first)) arriving.set(first, new Arriving());
  }
  const totalBytes = model.tensors.reduce(
    (sum, { name, lengthBytes }) => sum + (firstNames.get(name) === name ? lengthBytes : 0),
    0,
  );
  const read = async () => {
    let doneBytes = 0;
    for await (const tensor of model.all(signal)) {
      doneBytes += tensor.lengthBytes;
      onDecoded?.(doneBytes, totalBytes);
      arriving.get(tensor.name)?.resolve(runtime.floats(toFloats(model, tensor, tensor.bytes), tensor.shape));
    }
  };
  const weights = new Map([...needed].map((name) => [name, arriving.get(firstNames.get(name)!)!.tensor]));
  const finished = read().catch((error) => {
    for (const { reject } of arriving.values()) reject(error); // tensors that have arrived are not affected
    throw error;
  });
  finished.catch(() => {}); // awaited later
  return { weights, finished };
}

/** A tensor that has not arrived yet. */
class Arriving {
  resolve!: (tensor: Tensor) => void;
  reject!: (error: unknown) => void;
  readonly tensor = new Promise<Tensor>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    this.tensor.catch(() => {}); // awaited later, or not at all when another fails
  }
}
