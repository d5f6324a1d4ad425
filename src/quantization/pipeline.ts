import type { Quality } from '../evaluation/report.js';
import type { StoredModel } from '../models/stored-model.js';
import type { Calibrated } from './calibration/calibrate.js';
import type { Candidate } from './candidate.js';
import { encodeModel } from './encoder.js';
import type { Execution, Matrices } from './execution.js';
import { writeLossless } from './lossless-candidate.js';
import type { ModelBase } from './model-base.js';
import { ModelQuantizer, type QuantizedModel } from './model-quantizer.js';
import { type CompressionPlan, quantizedTensors } from './plan.js';
import type { Stages } from './progress.js';
import { qualityReport, tuneCandidate } from './quality.js';
import type { RateSample, SizeTrial } from './rate-control/rate-samples.js';
import { MIN_TUNING_WINDOWS } from './tuning/tune.js';

export interface PipelineParts {
  readonly model: StoredModel;
  readonly candidate: Candidate;
  readonly plan: CompressionPlan;
  /** Undefined without calibration: all errors count the same, and nothing is measured. */
  readonly calibrated: Calibrated | undefined;
  readonly stages: Stages;
  readonly execution: Execution;
  readonly base?: ModelBase | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Makes a candidate from a step: quantizes, encodes, writes, measures and tunes. All methods work on the last written candidate. */
export class Pipeline {
  private readonly quantizer: ModelQuantizer;
  private passes = 0;
  private quantized: QuantizedModel | undefined;

  private constructor(
    private readonly parts: PipelineParts,
    private readonly matrices: Matrices,
  ) {
    const { plan, stages, signal } = parts;
    const onPass = (kind: 'quantizing' | 'sampling') =>
      stages.begin(kind, 'weights', kind === 'quantizing' ? `pass ${++this.passes}` : undefined);
    const { learnsPrices } = plan;
    this.quantizer = new ModelQuantizer(quantizedTensors(plan.tensors), matrices, {
      learnsPrices,
      onPass,
      signal,
    });
  }

  /** Starts what quantizes. @throws {InputError} when the output's folder is not writable. */
  static async open(parts: PipelineParts): Promise<Pipeline> {
    const { execution, model, calibrated, candidate } = parts;
    return new Pipeline(parts, await execution.matrices(model, calibrated?.statistics, candidate.path));
  }

  close(): Promise<void> {
    return this.matrices.close();
  }

  /** Whether norms and biases may be tuned: masked models have no windows for it. */
  get canTune(): boolean {
    const { plan, calibrated } = this.parts;
    return plan.tunes && (calibrated?.seen.length ?? 0) >= MIN_TUNING_WINDOWS;
  }

  /** Quantizes the model with a step and writes the candidate. @returns the counts of the indices, also those of passes before the last. */
  async write(step: number): Promise<Omit<SizeTrial, 'value'> & Pick<QuantizedModel, 'passes'>> {
    this.quantized = await this.quantizer.quantize(step);
    await this.encode(this.quantized);
    const { passes } = this.quantized;
    return { step, counts: passes.at(-1)!, passes };
  }

  /** Learns from an earlier {@link write} as that did, without a candidate. */
  recall(step: number, passes: readonly Float64Array[]): void {
    this.quantizer.recall(step, passes);
  }

  /** Learns from an earlier {@link sample} as that did. */
  recallSample(sample: Pick<RateSample, 'counts'>): void {
    this.quantizer.recallSample(sample);
  }

  /** Decodes the candidate. @returns its length in bytes, without the quality report. */
  size(): Promise<number> {
    return this.parts.candidate.size();
  }

  /** Quantizes a sample of the matrices with a step. */
  sample(step: number): Promise<RateSample> {
    return this.quantizer.sample(step);
  }

  /** Measures the candidate against the original; undefined without calibration. */
  async measure(): Promise<Quality | undefined> {
    const { candidate, model, calibrated, stages, execution, signal } = this.parts;
    const onProgress = stages.begin('measuring', 'tokens');
    return (
      calibrated && execution.measure(candidate.partialPath, model, calibrated.heldOut, onProgress, signal)
    );
  }

  /** Tunes norms and biases on the windows of the calibration, and writes the candidate again. */
  async tune(): Promise<void> {
    const { candidate, model, base, calibrated, stages } = this.parts;
    const onProgress = stages.begin('tuning', 'tokens');
    const options = { onProgress, signal: this.parts.signal };
    const tuned = await tuneCandidate(candidate.partialPath, model, calibrated!.seen, options, base);
    await this.encode(this.quantized!, tuned);
  }

  /** Writes the candidate without tuning. */
  untune(): Promise<void> {
    return this.encode(this.quantized!);
  }

  /** Writes a lossless candidate. */
  async writeLossless(): Promise<void> {
    const { candidate, model, plan, base, stages } = this.parts;
    const tensors = plan.tensors.map(({ tensor }) => tensor);
    const onProgress = stages.begin('compressing', 'bytes');
    await writeLossless(candidate, model, tensors, onProgress, { base, signal: this.parts.signal });
  }

  /** Stores the quality in the candidate and moves it to its final name. @returns its bytes. @throws {Error} if they exceed the budget. */
  async finish(quality: Quality | undefined): Promise<number> {
    const { candidate, plan, calibrated, signal } = this.parts;
    signal?.throwIfAborted();
    const report = quality && qualityReport(quality, calibrated!.heldOut);
    return candidate.finish(report, plan.goal.kind === 'bytes' ? plan.goal.limit : undefined);
  }

  private encode(quantized: QuantizedModel, tuned?: ReadonlyMap<string, Float32Array>): Promise<void> {
    const { candidate, model, plan } = this.parts;
    const { base, signal } = this.parts;
    const options = { tuned, base, signal };
    return candidate.write(quantized.tables, encodeModel(model, plan.tensors, quantized, options));
  }
}
