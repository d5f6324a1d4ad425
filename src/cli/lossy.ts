import { basename } from 'node:path';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { Progress as RunProgress } from '../core/progress.js';
import { readText } from '../io/node/file.js';
import { compressLossy, type LossyResult } from '../quantization/compress.js';
import { type Budget, parseSize } from '../quantization/rate-control/budget.js';
import { type Progress, progress } from './terminal.js';

/** The options of a lossy `compress`, as commander gives them. */
export interface LossyOptions {
  readonly kl?: string;
  readonly bits?: string;
  readonly size?: string;
  readonly ratio?: string;
  /** A path; `false` for `--no-calibration`. */
  readonly calibrate?: string;
  readonly calibration?: boolean;
  readonly calibrationTokens?: number;
  readonly statistics?: string;
  readonly tune?: boolean;
}

/** Returns the requested budget. @throws {InputError} for a value that is not a positive number. */
export function budgetOf({ kl, bits, size, ratio }: LossyOptions): Budget {
  return {
    ...(kl !== undefined && { kl: positive(kl, '--kl') }),
    ...(bits !== undefined && { bits: positive(bits, '--bits') }),
    ...(size !== undefined && { size: parseSize(size) }),
    ...(ratio !== undefined && { ratio: positive(ratio, '--ratio') }),
  };
}

const DEFAULT_TEXT = new URL('../../assets/calibration.txt', import.meta.url);

/** Returns whether a budget was given. @throws {InputError} for options that need one. */
export function isLossy({ kl, bits, size, ratio, ...others }: LossyOptions): boolean {
  const budget = [kl, bits, size, ratio].some((value) => value !== undefined);
  const { calibrate, calibrationTokens, statistics, calibration } = others;
  const given =
    calibration === false
      ? '--no-calibration'
      : calibrate !== undefined
        ? '--calibrate'
        : calibrationTokens !== undefined
          ? '--calibration-tokens'
          : statistics !== undefined
            ? '--statistics'
            : undefined;
  if (!budget && given) throw new InputError(`${given} needs a budget: --kl, --bits, --size or --ratio`);
  return budget;
}

/** Runs a lossy compression with a progress bar per stage. */
export async function runLossy(
  model: Model,
  output: string,
  options: LossyOptions & { readonly threads?: number; readonly force?: boolean; readonly resume?: boolean },
): Promise<LossyResult> {
  if (
    options.calibration === false &&
    (options.calibrate ?? options.statistics ?? options.calibrationTokens) !== undefined
  )
    throw new InputError('--no-calibration contradicts --calibrate, --calibration-tokens and --statistics');
  if (options.resume)
    throw new InputError('--resume needs a lossless file; a lossy run reuses saved statistics without it');
  const { threads, force, tune } = options;
  const budget = budgetOf(options);
  const stages = new Stages();
  try {
    const calibration = options.calibration === false ? undefined : await calibrationOf(options);
    return await compressLossy(model, output, {
      budget,
      threads,
      force,
      tune,
      calibration,
      onProgress: (progress) => stages.show(progress),
    });
  } finally {
    stages.stop();
  }
}

/** Reads the text for calibration and held-out measurement. @throws {InputError} when it cannot be read. */
export async function calibrationOf({ calibrate, calibrationTokens, statistics }: LossyOptions) {
  const path = calibrate ?? DEFAULT_TEXT;
  const text = await readText(path);
  const name =
    calibrate === undefined
      ? 'held out of the default calibration text'
      : `held out of ${basename(calibrate)}`;
  return { text, name, tokens: calibrationTokens, statisticsPath: statistics };
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() && Number.isFinite(value) && value > 0) return value;
  throw new InputError(`expected ${option} to be a positive number, found ${JSON.stringify(text)}`);
}

/** Shows one progress bar at a time, a new one when the stage changes. The time left is that of the whole run. */
export class Stages {
  private name: string | undefined;
  private bar: Progress | undefined;

  constructor(private readonly unit = (n: number) => `${(n / 1e6).toFixed(1)} M`) {}

  show({ stage, done, total, secondsLeft }: Omit<RunProgress, 'unit'>): void {
    if (stage !== this.name) {
      this.stop();
      this.name = stage;
      this.bar = progress(stage, total, this.unit);
    }
    this.bar?.update(done, secondsLeft);
    if (done >= total) this.name = undefined;
  }

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }
}
