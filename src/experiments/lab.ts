import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TRANSFORMS } from '../codecs/transform/coefficients.js';
import { gaussianDistortion } from '../codecs/transform/compaction.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { hold, letGo } from '../io/node/temporary.js';
import { type CalibrationSource, calibrate } from '../quantization/calibration/calibrate.js';
import type { StatisticsFile } from '../quantization/calibration/statistics-file.js';
import type { Method } from './attempt.js';
import { curvesOf, type LabCurve } from './curves.js';
import { type Extent, extentOf, matricesOf } from './matrices.js';
import { Measure } from './measure.js';
import { QuantizerMethod } from './quantizer.js';
import { TransformMethod } from './transforms.js';

/** What {@link runLab} compares, and how. */
export interface LabOptions extends RunOptions {
  /** The largest ratio, of the matrices' bytes as stored in the model to what is needed to decode them. */
  readonly ratio: number;
  /** Weights per block of a transform, a power of two from 4 to 256. */
  readonly block: number;
  /** 1 for blocks of a row, 2 for square tiles. */
  readonly dimensions: 1 | 2;
  /** True to store the largest coefficients alone, false to quantize all. */
  readonly keep: boolean;
  /** What the quantizer is calibrated on. */
  readonly calibration: CalibrationSource;
  /** What is measured on; without it, the part of the calibration text that is held out. */
  readonly text?: string | undefined;
  /** Tokens of it. */
  readonly tokens: number;
  /** The words that the generated sentence begins with. */
  readonly prompt: string;
}

/** One method at one ratio. What could not be reached has no measures. */
export interface LabPoint {
  /** The transform, or `quantizer`. */
  readonly method: string;
  /** The matrices' bytes as stored in the model over those that the method may use. */
  readonly ratio: number;
  /** The same in bits per weight. */
  readonly bitsPerWeight: number;
  /** 2^(-2R): no code has less for Gaussian weights of one variance. */
  readonly bound: number;
  /** Bytes that the matrices are decoded from. */
  readonly bytes?: number;
  /** Sum of squared differences over the sum of squares. */
  readonly relativeSquaredError?: number;
  /** KL divergence from the original, in nats per token. */
  readonly klNats?: number;
  /** Perplexity of the decoded model. */
  readonly perplexity?: number;
  /** What the decoded model writes; undefined for masked models. */
  readonly sentence?: string | undefined;
  /** The same, role by role. */
  readonly byRole?: readonly LabRole[];
}

/** The matrices of one role at one point. */
export interface LabRole {
  /** What they are in the model. */
  readonly role: string;
  /** Bytes that they are decoded from. */
  readonly bytes: number;
  /** Sum of squared differences over the sum of squares. */
  readonly relativeSquaredError: number;
}

/** What all methods made of one model. */
export interface LabReport {
  /** The path, address or name that it was opened by. */
  readonly model: string;
  /** Matrices that were coded. */
  readonly matrices: number;
  /** Weights in them. */
  readonly weights: number;
  /** Bytes of these as they are stored in the model. */
  readonly matrixBytes: number;
  /** Weights per block of a transform. */
  readonly block: number;
  /** 1 for blocks of a row, 2 for square tiles. */
  readonly dimensions: number;
  /** Whether the largest coefficients alone were stored, or all quantized. */
  readonly coding: 'kept' | 'quantized';
  /** Perplexity of the original. */
  readonly perplexity: number;
  /** What the original writes; undefined for masked models. */
  readonly sentence: string | undefined;
  /** Every method at every ratio. */
  readonly points: readonly LabPoint[];
  /** How transforms gather energy, role by role. */
  readonly curves: readonly LabCurve[];
}

/** Each takes some 20 bytes: its coefficients, twice as many for a complex transform, and what they decode to. */
const MAX_WEIGHTS = 2e8;
const RUNGS = [8, 16, 32, 64, 256];

/**
 * Runs all transforms and the quantizer on a model's matrices at a ladder of ratios, and measures each on the decoded model.
 * Norms and biases stay as they are and do not count; only bytes that were really coded do.
 * @throws {InputError} on a model that cannot be run. @throws the signal's reason once it is aborted.
 */
export async function runLab(model: Model, options: LabOptions): Promise<LabReport> {
  if (!(options.ratio > 1)) throw new InputError(`expected a ratio above 1, found ${options.ratio}`);
  options.signal?.throwIfAborted();
  const { block, dimensions, keep, calibration } = options;
  const matrices = await matricesOf(model);
  const extent = extentOf(matrices);
  if (extent.weights > MAX_WEIGHTS)
    throw new InputError(
      `${extent.weights} weights in matrices are over the ${MAX_WEIGHTS} that lab holds in memory with all their coefficients; take a smaller model of the family`,
      { file: model.id },
    );
  const folder = await mkdtemp(join(tmpdir(), 'weightpress-lab-'));
  hold(folder);
  let statistics: StatisticsFile | undefined;
  try {
    const calibrating = new Meter(options, 'calibrating', 0, 'tokens');
    const calibrated = await calibrate(
      model,
      join(folder, 'model'),
      calibration,
      (done, total) => calibrating.reach(done, total),
      options.signal,
    );
    statistics = calibrated.statistics;
    const measure = new Measure(model, { ...options, heldOut: calibrated.heldOut });
    const ladder = new Ladder(extent, measure, options);
    const curves: LabCurve[] = [];
    for (const transform of TRANSFORMS) {
      const settings = { transform, size: block, dimensions };
      const method = new TransformMethod(model, matrices, settings, keep);
      if (transform !== 'svd') curves.push(...(await curvesOf(method, matrices)));
      await ladder.climb(method);
    }
    const quantizer = await QuantizerMethod.create(model, matrices, statistics, join(folder, 'scratch'));
    await ladder.climb(quantizer).finally(() => quantizer.close());
    return {
      model: model.id,
      matrices: matrices.length,
      weights: extent.weights,
      matrixBytes: extent.bytes,
      block,
      dimensions,
      coding: keep ? 'kept' : 'quantized',
      ...(await measure.original()),
      points: ladder.points,
      curves,
    };
  } finally {
    await statistics?.close();
    await rm(folder, { recursive: true, force: true });
    letGo(folder);
  }
}

/** The ratios, and what methods made of them. */
class Ladder {
  readonly points: LabPoint[] = [];
  private readonly ratios: readonly number[];
  private readonly meter: Meter;

  constructor(
    private readonly extent: Extent,
    private readonly measure: Measure,
    options: LabOptions,
  ) {
    // a rung next to the last tells nothing more
    this.ratios = [...RUNGS.filter((ratio) => ratio < options.ratio * 0.8), options.ratio];
    this.meter = new Meter(options, 'measuring', (TRANSFORMS.length + 1) * this.ratios.length, 'files');
  }

  async climb(method: Method): Promise<void> {
    for (const ratio of this.ratios) {
      const { weights, bytes } = this.extent;
      const bitsPerWeight = (bytes * 8) / ratio / weights;
      const attempt = await method.fit(Math.floor(bytes / ratio));
      const measured = attempt && (await this.measure.attempt(attempt));
      const bound = gaussianDistortion(bitsPerWeight);
      this.points.push({ method: method.name, ratio, bitsPerWeight, bound, ...measured });
      this.meter.reach(this.points.length);
    }
  }
}
