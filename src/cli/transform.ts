import { TRANSFORMS, type TransformName } from '../codecs/transform/coefficients.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { compressTransform } from '../operations/compress-transform.js';
import type { LossyResult } from '../quantization/compress.js';
import { budgetOf, calibrationOf, type LossyOptions, Stages } from './lossy.js';

/** The options of `compress` that choose a codec, as commander gives them. */
export interface TransformFlags {
  readonly codec?: string;
  readonly block?: number;
  readonly dimensions?: '1' | '2';
  readonly keepLargest?: boolean;
}

const DEFAULT_BLOCK = 64;

/** Returns whether a transform was requested. @throws {InputError} for options that contradict each other. */
export function isTransform({
  codec,
  block,
  dimensions,
  keepLargest,
  ...options
}: TransformFlags & LossyOptions): boolean {
  const budget = [options.kl, options.bits, options.size, options.ratio].some((value) => value !== undefined);
  const chosen = (TRANSFORMS as readonly string[]).includes(codec ?? '');
  if (!chosen && (block ?? dimensions ?? keepLargest) !== undefined)
    throw new InputError(
      `--block, --dimensions and --keep-largest need --codec with a transform: ${TRANSFORMS.join(', ')}`,
    );
  if (codec === 'lossless' && budget) throw new InputError('--codec lossless excludes a budget');
  if (codec !== undefined && codec !== 'lossless' && !budget)
    throw new InputError(`--codec ${codec} needs a budget: --bits, --size or --ratio`);
  if (chosen && (options.statistics ?? options.tune ?? options.calibrationTokens) !== undefined)
    throw new InputError(
      'transforms use no calibration: remove --statistics, --tune and --calibration-tokens',
    );
  return chosen;
}

/** Compresses with a transform. The calibration text only serves to measure the loss, unless `--no-calibration` is given. */
export async function runTransform(
  model: Model,
  output: string,
  options: TransformFlags & LossyOptions & { readonly force?: boolean },
): Promise<LossyResult> {
  const { codec, block: size = DEFAULT_BLOCK, dimensions = '1', keepLargest = false, force } = options;
  const transform = {
    transform: codec as TransformName,
    size,
    dimensions: dimensions === '1' ? 1 : 2,
  } as const;
  const stages = new Stages();
  try {
    const calibration = options.calibration === false ? undefined : await calibrationOf(options);
    return await compressTransform(model, output, {
      transform,
      keep: keepLargest,
      budget: budgetOf(options),
      force,
      calibration,
      onProgress: (progress) => stages.show(progress),
    });
  } finally {
    stages.stop();
  }
}
