import type { ModelQuantizer } from '../model-quantizer.js';
import { predictStep } from './predict.js';

/** Steps that are tried on a sample before a whole model is quantized, and how near the last has to come. */
const MAX_TRIALS = 4;
const NEAR = 0.005;

/**
 * Finds out on a sample of a model's matrices how bits fall as the step grows: a whole pass over a large model takes minutes, and
 * what counts of one step tell of another is several percent off, as damping moves with the step.
 */
export class SampledRateModel {
  /** Logarithms of steps and of the bits a weight that they gave, in the order they were tried. */
  private readonly trials: (readonly [step: number, bits: number])[] = [];

  /** @param onTrial hears of every trial before it begins. */
  constructor(
    private readonly passes: Pick<ModelQuantizer, 'sample' | 'counts'>,
    private readonly onTrial: () => void = () => {},
  ) {}

  /** @param target bits a weight. @param step to begin with. @returns one near the target. */
  async find(target: number, step: number): Promise<number> {
    let next = step;
    for (let i = 0; i < MAX_TRIALS; i++) {
      this.onTrial();
      const { bits, weights } = await this.passes.sample(next);
      this.trials.push([Math.log(next), Math.log(bits / weights)]);
      if (Math.abs(bits / weights / target - 1) < NEAR) return next;
      const guess = predictStep(this.passes.counts, next, target * weights);
      next = i ? Math.exp(this.stepOf(Math.log(target))) : guess;
    }
    return next;
  }

  /** The step at which a weight takes `share` times the bits that it takes at `step`; undefined where too little is known. */
  scaled(step: number, share: number): number | undefined {
    if (this.trials.length < 2 || share <= 0) return;
    return step * share ** (1 / this.slope());
  }

  /** Along the line through the last two trials. */
  private stepOf(bits: number): number {
    const [step, known] = this.trials.at(-1)!;
    return step + (bits - known) / this.slope();
  }

  private slope(): number {
    const [[a, b], [c, d]] = this.trials.slice(-2) as [readonly [number, number], readonly [number, number]];
    return (d - b) / (c - a);
  }
}
