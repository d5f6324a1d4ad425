import { stat } from 'node:fs/promises';
import type { Model } from '../../core/model.js';
import { sumOf } from '../../core/sum.js';
import type { TokenizedSentences } from '../../evaluation/embedding/compare.js';
import { modelDigest } from '../../models/node/digest.js';
import type { Runtime } from '../../onnx/runtime.js';
import { SpillStore } from './array-store.js';
import type { CalibrationWindow } from './batches.js';
import { type CollectOptions, collectEmbeddingStatistics, collectStatistics } from './collect.js';
import type { Identity } from './identity.js';
import { StatisticsFile } from './statistics-file.js';
import { StatisticsWriter } from './statistics-writer.js';

/** Maximum bytes of hidden states in memory; more are stored in a file. */
const STATES_IN_MEMORY_BYTES = 2 ** 28;

/** A tokenized text: windows of equal length, or the sentences of an embedding model. */
export type TokenizedText = { readonly windows: readonly CalibrationWindow[] } | TokenizedSentences;

/** A tokenized calibration text, and its SHA-256, hexadecimal. */
export type CalibrationText = TokenizedText & { readonly sha256: string };

/**
 * Opens the statistics in a file, which must be of this model, text and seed. If there is no file, collects them and writes it. Memory
 * holds one layer, not the model; an interrupted collection leaves no file under this name.
 * @throws {InputError} when the file is damaged or of another model, text or seed, or like {@link collectStatistics}.
 */
export async function loadStatistics(
  path: string,
  runtime: Runtime,
  model: Model,
  text: CalibrationText,
  options: Omit<CollectOptions, 'store'> = {},
): Promise<StatisticsFile> {
  const { seed = 1 } = options;
  const identity = { model: await modelDigest(model), text: text.sha256, ...extentOf(text), seed };
  if (!(await stat(path).catch(() => undefined))) {
    const store = new SpillStore(path, STATES_IN_MEMORY_BYTES);
    const writer = await StatisticsWriter.create(path, identity);
    try {
      const collecting = { ...options, store, seed };
      await ('windows' in text
        ? collectStatistics(runtime, model, text.windows, writer, collecting)
        : collectEmbeddingStatistics(runtime, model, text, writer, collecting));
      await model.verify?.();
      await writer.finish();
    } catch (error) {
      await writer.discard();
      throw error;
    } finally {
      await store.close();
    }
  }
  const file = await StatisticsFile.open(path);
  try {
    file.require(identity);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Returns the number of tokens, and of tokens per window; sentences have no windows. */
function extentOf(text: TokenizedText): Pick<Identity, 'tokens' | 'window'> {
  if (!('windows' in text)) return { tokens: sumOf(text.sentences, ({ length }) => length), window: 0 };
  const [first] = text.windows;
  const window = first ? ('input' in first ? first.input : first).length : 0;
  return { tokens: text.windows.length * window, window };
}
