import { dirname, join } from 'node:path';
import type { Model } from '../../core/model.js';
import { Meter, type RunOptions } from '../../core/progress.js';
import { sumOf } from '../../core/sum.js';
import { Output } from '../../io/node/checked-output.js';
import { makeFolders } from '../../io/node/disk.js';
import { inputsOf } from '../../models/node/inputs.js';
import type { OnnxDtype } from '../../transformers-js/encoding.js';
import { transformersFiles } from '../../transformers-js/model-files.js';
import type { MadeFile } from '../../transformers-js/onnx-files.js';
import { makeFolder } from '../folder.js';

/** How {@link exportOnnx} runs. */
export interface OnnxExportOptions extends RunOptions {
  /** How weights are stored; each makes a graph of its own. By default fp32. */
  readonly dtypes?: readonly OnnxDtype[] | undefined;
  /** Replaces an existing folder. */
  readonly force?: boolean | undefined;
}

/**
 * Writes a model as a folder that transformers.js loads: `onnx/model*.onnx` with external data, config, tokenizer and the files that
 * belong to it. The folder gets its name only when it is complete.
 * @throws {InputError} for a model that cannot be run, and an output that cannot be written.
 * @throws the signal's reason once it is aborted.
 */
export async function exportOnnx(
  model: Model,
  folder: string,
  options: OnnxExportOptions = {},
): Promise<void> {
  const { dtypes = ['fp32'], force = false, signal } = options;
  signal?.throwIfAborted();
  await makeFolder(folder, inputsOf(model), force, async (making) => {
    const { files } = await transformersFiles(model, dtypes, { signal });
    const total = sumOf(files, ({ lengthBytes }) => lengthBytes);
    const meter = new Meter(options, 'writing ONNX', total);
    for (const file of files) await write(file, join(making, file.name), (bytes) => meter.add(bytes), signal);
    await model.verify?.();
    signal?.throwIfAborted();
  });
}

async function write(
  file: MadeFile,
  path: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  await makeFolders(dirname(path));
  const output = await Output.create(path);
  try {
    for await (const bytes of file.chunks(signal)) {
      await output.write(bytes);
      onBytes(bytes.length);
    }
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}
