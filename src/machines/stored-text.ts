import type { Model } from '../core/model.js';
import type { Runtime } from '../onnx/runtime.js';
import type { CalibrationWindow } from '../quantization/calibration/batches.js';
import {
  type Calibration,
  openCalibration,
  openEmbeddingCalibration,
} from '../quantization/calibration/calibration.js';
import type { TokenizedText } from '../quantization/calibration/load-statistics.js';
import { readPacked } from '../stores/checked.js';
import type { Store } from '../stores/store.js';
import { putSmall } from './stored-model.js';

/** Copies a tokenized text to a store. @returns its key. */
export function putText(store: Store, text: TokenizedText): Promise<string> {
  if (!('windows' in text)) return putSmall(store, 'texts', { sentences: text.sentences, first: text.first });
  return putSmall(store, 'texts', { windows: text.windows.map(plainWindow) });
}

/** Opens a model's calibration on a text of the store. @throws {InputError} when it is not there, or does not fit the model. */
export async function openStoredCalibration(
  store: Store,
  key: string,
  runtime: Runtime,
  model: Model,
): Promise<Calibration> {
  const text = (await readPacked(store, key)).header as never as TokenizedText;
  return 'windows' in text
    ? openCalibration(runtime, model, text.windows, {})
    : openEmbeddingCalibration(runtime, model, text, {});
}

/** Returns a window as JSON can hold it: typed arrays as lists. */
function plainWindow(window: CalibrationWindow) {
  return 'input' in window ? { input: Array.from(window.input), rows: window.rows } : Array.from(window);
}
