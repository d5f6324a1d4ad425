import { TRANSFORMS } from '../codecs/transform/coefficients.js';
import { InputError } from '../core/errors.js';
import type { Codec } from '../operations/compress.js';
import type { LossyOptions } from './lossy.js';

/** The options of `compress` that choose a codec, as commander gives them. */
export interface TransformFlags {
  readonly codec?: string;
  readonly block?: number;
  readonly dimensions?: '1' | '2';
  readonly keepLargest?: boolean;
}

/** Returns the codec that was asked for; undefined for the default. @throws {InputError} for options that contradict each other. */
export function codecOf({
  codec,
  block: size,
  dimensions,
  keepLargest,
  ...options
}: TransformFlags & LossyOptions): Codec | undefined {
  const budget = [options.kl, options.bits, options.size, options.ratio].some((value) => value !== undefined);
  const transform = TRANSFORMS.find((name) => name === codec);
  if (!transform && (size ?? dimensions ?? keepLargest) !== undefined)
    throw new InputError(
      `--block, --dimensions and --keep-largest need --codec with a transform: ${TRANSFORMS.join(', ')}`,
    );
  if (codec === 'lossless' && budget) throw new InputError('--codec lossless excludes a budget');
  if (codec !== undefined && codec !== 'lossless' && !budget)
    throw new InputError(`--codec ${codec} needs a budget: --bits, --size or --ratio`);
  if (!transform) return codec as Exclude<Codec, object> | undefined;
  if ((options.statistics ?? options.tune ?? options.calibrationTokens) !== undefined)
    throw new InputError(
      'transforms use no calibration: remove --statistics, --tune and --calibration-tokens',
    );
  return { transform, size, dimensions: dimensions === '2' ? 2 : 1, keepLargest };
}
