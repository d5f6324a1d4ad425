import { type Command, Option } from 'commander';
import { TRANSFORMS } from '../codecs/transform/coefficients.js';
import { InputError } from '../core/errors.js';
import type { Codec } from '../operations/compress.js';
import type { BudgetFlags } from './lossy.js';
import { wholeNumber } from './options.js';

/** The options of `compress` that choose a codec, as commander gives them. */
export interface TransformFlags {
  readonly codec?: string;
  readonly block?: number;
  readonly dimensions?: '1' | '2';
  readonly keepLargest?: boolean;
}

/** Adds the options that choose a codec. */
export function addTransformOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--codec <name>',
        'lossless, trellis (the default with a budget), or a transform as a baseline',
      ).choices(['lossless', 'trellis', ...TRANSFORMS]),
    )
    .option('--block <n>', 'transform: weights per block, a power of two from 4 to 256', wholeNumber(4))
    .addOption(
      new Option('--dimensions <n>', 'transform: blocks of a row (1) or square tiles (2)').choices([
        '1',
        '2',
      ]),
    )
    .option('--keep-largest', 'transform: keep only the largest coefficients instead of rounding all');
}

/** Returns the codec that was asked for; undefined for the default. @throws {InputError} for options that contradict each other. */
export function codecOf({
  codec,
  block: size,
  dimensions,
  keepLargest,
  ...options
}: TransformFlags & BudgetFlags): Codec | undefined {
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
