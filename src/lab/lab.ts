import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TRANSFORMS, type TransformOptions } from '../codec/transform/coefficients.js';
import { gaussianDistortion } from '../codec/transform/compaction.js';
import { InputError } from '../errors.js';
import { DTYPE_BYTES } from '../formats/dtype.js';
import type { Model } from '../formats/model.js';
import { type CalibrationSource, calibrate } from '../press/lossy/calibrate.js';
import type { Method } from './attempt.js';
import { curvesOf, type LabCurve } from './curves.js';
import { matricesOf } from './matrices.js';
import { Measure } from './measure.js';
import { QuantiserMethod } from './quantiser.js';
import { TransformMethod } from './transforms.js';

export interface LabOptions {
  /** The largest ratio, of the matrices' bytes as stored in the model to what is needed to decode them. */
  readonly ratio: number;
  readonly block: TransformOptions['size'];
  readonly dimensions: TransformOptions['dimensions'];
  /** Whether the largest coefficients are kept instead of quantising all. */
  readonly keep: boolean;
  /** What the quantiser is calibrated on. */
  readonly calibration: CalibrationSource;
  /** What is measured on; without it, the part of the calibration text that is held out. */
  readonly text?: string | undefined;
  /** Tokens of it. */
  readonly tokens: number;
  readonly prompt: string;
  readonly onProgress?: ((what: string, done: number, total: number) => void) | undefined;
}

/** One method at one ratio. What could not be reached has no measures. */
export interface LabPoint {
  readonly method: string;
  readonly ratio: number;
  readonly bitsPerWeight: number;
  /** 2^(-2R): no code has less for Gaussian weights of one variance. */
  readonly bound: number;
  readonly bytes?: number;
  readonly relativeSquaredError?: number;
  readonly klNats?: number;
  readonly perplexity?: number;
  readonly sentence?: string | undefined;
  readonly byRole?: readonly {
    readonly role: string;
    readonly bytes: number;
    readonly relativeSquaredError: number;
  }[];
}

export interface LabReport {
  readonly model: string;
  readonly matrices: number;
  readonly weights: number;
  readonly matrixBytes: number;
  readonly block: number;
  readonly dimensions: number;
  readonly coding: 'kept' | 'quantised';
  readonly perplexity: number;
  readonly sentence: string | undefined;
  readonly points: readonly LabPoint[];
  readonly curves: readonly LabCurve[];
}

const LADDER = [8, 16, 32, 64, 256];

/**
 * Runs all transforms and the quantiser on a model's matrices at a ladder of ratios, and measures each on the decoded model.
 * Norms and biases stay as they are and do not count; only bytes that were really coded do.
 * @throws {InputError} on a model that cannot be run.
 */
export async function runLab(model: Model, options: LabOptions): Promise<LabReport> {
  if (!(options.ratio > 1)) throw new InputError(`expected a ratio above 1, found ${options.ratio}`);
  const matrices = await matricesOf(model);
  const weights = matrices.reduce((sum, { elements }) => sum + elements, 0);
  const matrixBytes = matrices.reduce(
    (sum, { elements, tensor }) => sum + elements * DTYPE_BYTES[tensor.dtype],
    0,
  );
  const ratios = [...LADDER.filter((ratio) => ratio < options.ratio * 0.8), options.ratio];
  const folder = await mkdtemp(join(tmpdir(), 'weightpress-lab-'));
  const calibrated = await calibrate(model, join(folder, 'model'), options.calibration, (done, total) =>
    options.onProgress?.('calibrating', done, total),
  );
  const measure = new Measure(model, { ...options, heldOut: calibrated.heldOut });
  const [points, curves]: [LabPoint[], LabCurve[]] = [[], []];
  const total = (TRANSFORMS.length + 1) * ratios.length;
  const climb = async (method: Method) => {
    for (const ratio of ratios) {
      const attempt = await method.fit(Math.floor(matrixBytes / ratio));
      points.push({
        ...base(method, ratio, matrixBytes, weights),
        ...(attempt && (await measure.attempt(attempt))),
      });
      options.onProgress?.('measuring', points.length, total);
    }
  };
  try {
    for (const transform of TRANSFORMS) {
      const { block: size, dimensions } = options;
      const method = new TransformMethod(model, matrices, { transform, size, dimensions }, options.keep);
      if (transform !== 'svd') curves.push(...(await curvesOf(method, matrices)));
      await climb(method);
    }
    const quantiser = await QuantiserMethod.create(
      model,
      matrices,
      calibrated.statistics,
      join(folder, 'scratch'),
    );
    try {
      await climb(quantiser);
    } finally {
      await quantiser.close();
    }
    const { perplexity, sentence } = await measure.original();
    return {
      model: model.id,
      matrices: matrices.length,
      weights,
      matrixBytes,
      block: options.block,
      dimensions: options.dimensions,
      coding: options.keep ? 'kept' : 'quantised',
      perplexity,
      sentence,
      points,
      curves,
    };
  } finally {
    await calibrated.statistics.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function base({ name: method }: Method, ratio: number, matrixBytes: number, weights: number) {
  const bitsPerWeight = (matrixBytes * 8) / ratio / weights;
  return { method, ratio, bitsPerWeight, bound: gaussianDistortion(bitsPerWeight) };
}
