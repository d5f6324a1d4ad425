import type { RunOptions } from '../../core/progress.js';
import type { Mixture } from '../../models/gguf/mixtures.js';

import type { Budget } from '../../quantization/rate-control/budget.js';
import type { CalibrationOptions } from '../calibration-text.js';
import type { TensorNames } from './described.js';
import type { TypeRule } from './types.js';

/** How `quantizeGguf` runs. */
export interface QuantizeOptions extends RunOptions {
  /** A mixture of types as llama.cpp has it, or a budget for which types are chosen. */
  readonly to: Mixture | Budget;
  /** Types of some tensors instead of the mixture's; of rules that match a name the last decides. */
  readonly types?: readonly TypeRule[] | undefined;
  /**
   * The text whose statistics decide the codes, and whose held-out part the loss is measured on; by default one that comes with weightpress.
   * False for neither.
   */
  readonly calibration?: CalibrationOptions | false | undefined;
  /** An importance matrix of llama.cpp that decides the codes instead of statistics; the loss is still measured on the text. */
  readonly imatrix?: string | undefined;
  /** Where to write an importance matrix of the statistics: `.dat` for llama.cpp's older format. */
  readonly saveImatrix?: string | undefined;
  /** What tensors are called; by default as llama.cpp expects. */
  readonly names?: TensorNames | undefined;
  /** Whether norms and biases are tuned to make up for part of the loss. */
  readonly tune?: boolean | undefined;
  /** Number of worker threads; default: the machine's parallelism. The result is the same with any number. */
  readonly threads?: number | undefined;
  /** Replaces an existing file. */
  readonly force?: boolean | undefined;
}
