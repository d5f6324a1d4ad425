import type { Model } from '../../core/model.js';
import { checkOutput, Output } from '../../io/node/checked-output.js';
import { aligned, writeGgufHeader } from '../../models/gguf/header-writer.js';
import { isStoredModel } from '../../models/stored-model.js';
import { requireElements } from '../../wpk/manifest.js';
import { inputPaths } from '../../wpk/node/manifest.js';
import { planGguf } from './gguf-plan.js';
import type { GgufWriteType } from './gguf-types.js';

export interface GgufOptions {
  /** Type of matrices; F16 by default. */
  readonly type?: GgufWriteType;
  /** Whether to replace an existing file. */
  readonly force?: boolean;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Writes a model of type llama, qwen2, gpt2 or gpt_neox as GGUF, with the metadata and tokenizer that llama.cpp needs. The file gets its
 * name once it is complete.
 * @throws {InputError} for settings that llama.cpp does not support, missing or unknown tensors, a tokenizer that is not byte-level BPE,
 * and a path that cannot be written to.
 */
export async function writeGguf(model: Model, path: string, options: GgufOptions = {}): Promise<void> {
  const { type = 'F16', force = false, onProgress, signal } = options;
  await checkOutput(path, isStoredModel(model) ? inputPaths(model) : [model.id], force);
  const { entries, tensors } = await planGguf(model, type);
  requireElements(model);
  const header = writeGgufHeader(entries, tensors);
  const total = tensors.reduce((end, { lengthBytes }) => end + aligned(lengthBytes), header.length);
  const output = await Output.create(path, { force });
  try {
    await output.write(header);
    for (const tensor of tensors) {
      for await (const bytes of tensor.pieces(signal)) {
        await output.write(bytes);
        onProgress?.(output.length, total);
      }
      await output.write(new Uint8Array(aligned(output.length) - output.length));
    }
    await output.finish(() => model.verify?.());
  } catch (error) {
    await output.discard();
    throw error;
  }
}
