import type { Command } from 'commander';
import { InputError } from '../core/errors.js';
import { readCalibrationText } from '../operations/calibration-text.js';
import type { CalibrationSource } from '../quantization/calibration/calibrate.js';
import { type Budget, parseSize } from '../quantization/rate-control/budget.js';
import { wholeNumber } from './options.js';

/** The options of calibration, as commander gives them. */
export interface CalibrationFlags {
  /** A path; `false` for `--no-calibration`. */
  readonly calibrate?: string;
  readonly calibration?: boolean;
  readonly calibrationTokens?: number;
  readonly statistics?: string;
}

/** The options of a lossy `compress`, as commander gives them. */
export interface BudgetFlags extends CalibrationFlags {
  readonly kl?: string;
  readonly cosine?: string;
  readonly bits?: string;
  readonly size?: string;
  readonly ratio?: string;
  readonly tune?: boolean;
}

/** Adds the options of calibration. */
export function addCalibrationOptions(command: Command): Command {
  return command
    .option('--calibrate <file>', 'calibration text (default: a text that comes with weightpress)')
    .option(
      '--calibration-tokens <n>',
      'number of calibration tokens (default: what fits in a few minutes)',
      wholeNumber(1),
    )
    .option(
      '--no-calibration',
      'quantize without calibration: a larger file for the same loss, and the loss is not measured',
    )
    .option('--statistics <file>', 'save calibration statistics in this file, or reuse them if it exists');
}

/** Adds the options of a budget and its calibration. */
export function addBudgetOptions(command: Command): Command {
  command
    .option(
      '--kl <nats>',
      'lossy: KL divergence from the original in nats per token, measured on held-out text',
    )
    .option(
      '--cosine <c>',
      'lossy, for embedding models: mean cosine with the original embeddings, measured on held-out sentences',
    )
    .option('--bits <n>', 'lossy: bits per weight; everything but config, tokenizer and text files counts')
    .option('--size <size>', 'lossy: file size, such as 400MB')
    .option('--ratio <n>', 'lossy: original size over compressed size, all files counted');
  return addCalibrationOptions(command).option(
    '--tune',
    'tune norms and biases to minimize the KL divergence: slow, helps below about 2.3 bits per weight; for models below 100 M weights',
  );
}

/** Returns the requested budget. @throws {InputError} for a value that is not a positive number. */
export function budgetOf({ kl, cosine, bits, size, ratio }: BudgetFlags): Budget {
  return {
    ...(kl !== undefined && { kl: positive(kl, '--kl') }),
    ...(cosine !== undefined && { cosine: positive(cosine, '--cosine') }),
    ...(bits !== undefined && { bits: positive(bits, '--bits') }),
    ...(size !== undefined && { size: parseSize(size) }),
    ...(ratio !== undefined && { ratio: positive(ratio, '--ratio') }),
  };
}

/** Returns whether a budget was given. */
export function hasBudget({ kl, cosine, bits, size, ratio }: BudgetFlags): boolean {
  return [kl, cosine, bits, size, ratio].some((value) => value !== undefined);
}

/** Returns whether a budget was given. @throws {InputError} for options that need one. */
export function isLossy(flags: BudgetFlags): boolean {
  const budget = hasBudget(flags);
  const given = givenCalibration(flags);
  if (!budget && given)
    throw new InputError(`${given} needs a budget: --kl, --cosine, --bits, --size or --ratio`);
  return budget;
}

/** Returns the first option of calibration that was given; undefined if none was. */
export function givenCalibration(flags: CalibrationFlags): string | undefined {
  const { calibrate, calibrationTokens, statistics, calibration } = flags;
  if (calibration === false) return '--no-calibration';
  if (calibrate !== undefined) return '--calibrate';
  if (calibrationTokens !== undefined) return '--calibration-tokens';
  return statistics === undefined ? undefined : '--statistics';
}

/** Returns the options of a file with a budget. @throws {InputError} for flags that contradict each other. */
export async function budgetOptions(options: BudgetFlags) {
  const calibration = await calibrationOptions(options);
  return { budget: budgetOf(options), tune: options.tune, calibration };
}

/** Returns the calibration, or false without one. @throws {InputError} for flags that contradict each other, and a text that cannot be read. */
export async function calibrationOptions(options: CalibrationFlags): Promise<CalibrationSource | false> {
  const { calibrate, statistics, calibrationTokens, calibration } = options;
  if (calibration !== false) return calibrationOf(options);
  if ((calibrate ?? statistics ?? calibrationTokens) !== undefined)
    throw new InputError('--no-calibration contradicts --calibrate, --calibration-tokens and --statistics');
  return false;
}

/** Reads the text for calibration and held-out measurement. @throws {InputError} when it cannot be read. */
export async function calibrationOf({ calibrate, calibrationTokens, statistics }: CalibrationFlags) {
  const text = await readCalibrationText(calibrate);
  return { ...text, tokens: calibrationTokens, statisticsPath: statistics };
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() && Number.isFinite(value) && value > 0) return value;
  throw new InputError(`expected ${option} to be a positive number, found ${JSON.stringify(text)}`);
}
