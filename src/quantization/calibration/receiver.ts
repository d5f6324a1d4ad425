import type { Feeds } from '../../onnx/runtime.js';
import type { Stage } from './stages.js';

/** Receives what statistics are of, stage by stage in the order of the backward pass. */
export interface Receiver {
  open(stage: Stage): Promise<StageReceiver>;
}

/** Receives the values of one stage. */
export interface StageReceiver {
  /** Takes the outputs of the stage's graph for one more batch, or for a part of it; they are overwritten afterwards. */
  add(values: Feeds): Promise<void>;
  /** Takes the sums of p (1 - p) over one more batch, by row of the head's matrix. */
  addRows(weights: Float64Array): Promise<void>;
  close(): Promise<void>;
}
