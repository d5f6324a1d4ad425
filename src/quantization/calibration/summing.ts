import { NOTICES } from '../../core/notices.js';
import type { Feeds, Runtime } from '../../onnx/runtime.js';
import type { CalibrationBatches } from './batches.js';
import { FEW_TOKENS } from './expert-statistics.js';
import { tensorNameOf } from './matmul-sites.js';
import { MomentProducts } from './moment-products.js';
import { MomentSums } from './moment-sums.js';
import type { Receiver, StageReceiver } from './receiver.js';
import type { Stage } from './stages.js';
import type { StatisticsSink } from './statistics.js';
import { momentsOf, statisticsOf, unitsOf } from './units.js';

/** Sums second moments as values come. Statistics reach the sink as soon as their stage is done, so that memory holds one stage. */
export class Summing implements Receiver {
  private readonly products: MomentProducts;
  private sums: MomentSums | undefined;
  private fewest = Number.POSITIVE_INFINITY;

  constructor(
    runtime: Runtime,
    private readonly calibration: Pick<CalibrationBatches, 'predictions' | 'tokens'>,
    private readonly sink: StatisticsSink,
  ) {
    this.products = new MomentProducts(runtime);
  }

  async open(stage: Stage): Promise<StageReceiver> {
    const units = unitsOf(stage.moments);
    const before = this.sums;
    const sums = before && stage.continues ? before : new MomentSums(this.products, momentsOf(units), before);
    this.sums = sums;
    const rows = new RowWeights(this.calibration.predictions);
    return {
      add: (values: Feeds) => sums.add(values),
      addRows: async (weights) => rows.add(weights),
      close: async () => {
        if (!stage.ends) return;
        const { predictions } = this.calibration;
        const rowsOf = stage.frequencies ?? (() => rows.mean());
        for (const unit of units) {
          const { tensors, fewest } = statisticsOf(unit, sums, { predictions, rowsOf });
          this.fewest = Math.min(this.fewest, fewest);
          for (const [weight, statistics] of tensors)
            await this.sink.add(tensorNameOf(stage.weights, weight), statistics);
        }
      },
    };
  }

  /** Frees the graphs, and reports experts that hardly any token chose. */
  async finish(): Promise<void> {
    await this.products.release();
    noteFewTokens(this.fewest, this.calibration.tokens);
  }
}

/** Reports experts that hardly any token chose. @param fewest tokens of the one with the fewest. */
export function noteFewTokens(fewest: number, tokens: number): void {
  if (fewest < FEW_TOKENS)
    NOTICES.show(
      `an expert was chosen by ${fewest} of ${tokens} calibration tokens; the statistics of experts with few tokens are damped by those of the others`,
    );
}

/** The mean of p (1 - p) over predictions, by row of the head's matrix, summed batch by batch. */
export class RowWeights {
  private sums: Float64Array | undefined;

  constructor(private readonly predictions: number) {}

  add(weights: Float64Array): void {
    if (!this.sums) this.sums = weights;
    else for (let i = 0; i < weights.length; i++) this.sums[i]! += weights[i]!;
  }

  mean(): Float32Array {
    return Float32Array.from(this.sums!, (weight) => weight / this.predictions);
  }
}
