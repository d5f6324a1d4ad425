import type { Model } from '../../core/model.js';
import { type RunOptions, stageMeter } from '../../core/progress.js';
import { checkOutput, Output } from '../../io/node/checked-output.js';
import { writeGgufHeader } from '../../models/gguf/header-writer.js';
import { inputsOf } from '../../models/node/inputs.js';
import { unpacked } from '../../models/packed/view.js';
import { requireElements } from '../../wpk/manifest.js';
import { writeGgufTensors } from './gguf-file.js';
import { planGguf } from './gguf-plan.js';
import type { GgufWriteType } from './gguf-types.js';

/** How {@link writeGguf} runs. */
export interface GgufOptions extends RunOptions {
  /** The type of matrices; by default F16. */
  readonly type?: GgufWriteType | undefined;
  /** Replaces an existing file. */
  readonly force?: boolean | undefined;
}

/**
 * Writes a model as GGUF, with the metadata and the tokenizer that llama.cpp needs, piece by piece. The file gets its name only when it
 * is complete.
 * @throws {InputError} for models that llama.cpp does not support, missing or unknown tensors, a tokenizer that is not byte-level
 * BPE, and an output that cannot be written. @throws the signal's reason once it is aborted.
 */
export async function writeGguf(given: Model, path: string, options: GgufOptions = {}): Promise<void> {
  const { type = 'F16', force = false, signal } = options;
  signal?.throwIfAborted();
  const model = await unpacked(given, signal);
  await checkOutput(path, inputsOf(model), force);
  const { entries, tensors } = await planGguf(model, type);
  requireElements(model);
  const header = writeGgufHeader(entries, tensors);
  const onProgress = stageMeter(options, 'writing GGUF');
  const output = await Output.create(path, { force });
  try {
    await writeGgufTensors(output, header, tensors, onProgress, signal);
    await output.finish(() => model.verify?.());
  } catch (error) {
    await output.discard();
    throw error;
  }
}
