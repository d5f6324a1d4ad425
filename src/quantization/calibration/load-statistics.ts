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

/** A tokenized calibration text. */
export interface CalibrationText {
  /** SHA-256 of the text, hexadecimal. */
  readonly sha256: string;
  /** Windows of equal length, or sentences. */
  readonly given: CalibrationWindows | TokenizedSentences;
}

/** The text of a model that predicts tokens. */
export interface CalibrationWindows {
  /** Of equal length. */
  readonly windows: readonly CalibrationWindow[];
}

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
  const { given, sha256 } = text;
  const { seed = 1 } = options;
  const identity = { model: await modelDigest(model), text: sha256, ...extentOf(given), seed };
  if (!(await stat(path).catch(() => undefined))) {
    const store = new SpillStore(path, STATES_IN_MEMORY_BYTES);
    const writer = await StatisticsWriter.create(path, identity);
    try {
      const collecting = { ...options, store, seed };
      await ('windows' in given
        ? collectStatistics(runtime, model, given.windows, writer, collecting)
        : collectEmbeddingStatistics(runtime, model, given, writer, collecting));
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
function extentOf(given: CalibrationText['given']): Pick<Identity, 'tokens' | 'window'> {
  if (!('windows' in given)) return { tokens: sumOf(given.sentences, ({ length }) => length), window: 0 };
  const [first] = given.windows;
  const window = first ? ('input' in first ? first.input : first).length : 0;
  return { tokens: given.windows.length * window, window };
}
