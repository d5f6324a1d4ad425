import type { TransformName } from '../codecs/transform/coefficients.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import type { FetchedFolder } from '../hub/folder.js';
import { openModel } from '../open/open.js';
import type { CalibrationSource } from '../quantization/calibration/calibrate.js';
import { compressLossy } from '../quantization/compress.js';
import { type Budget, checkBudget } from '../quantization/rate-control/budget.js';
import type { Summary } from '../wpk/summary.js';
import { readCalibrationText } from './calibration-text.js';
import { compress as compressLossless } from './compress.js';
import { compressTransform } from './compress-transform.js';
import { inspect } from './inspect.js';

/** A codec that transforms blocks of every matrix: a baseline for other codecs. */
export interface TransformCodec {
  /** Name of the transform; `none` leaves the weights unchanged. */
  readonly transform: TransformName;
  /** Weights per block, a power of two from 4 to 256; by default 64. */
  readonly size?: number | undefined;
  /** 1, the default, for blocks of a row; 2 for square tiles. */
  readonly dimensions?: 1 | 2 | undefined;
  /** True to store only the largest coefficients; by default all are quantized. */
  readonly keepLargest?: boolean | undefined;
}

/** A codec for weights. `trellis` is the default with a budget. */
export type Codec = 'lossless' | 'trellis' | TransformCodec;

/** Calibration text and its settings; all are optional. */
export interface CalibrationOptions extends Partial<CalibrationSource> {}

/** How {@link compress} runs. */
export interface CompressOptions extends RunOptions {
  /** The codec; by default `lossless`, with a budget `trellis`. */
  readonly codec?: Codec | undefined;
  /** Upper limit of the loss, or of the size, of a lossy file. */
  readonly budget?: Budget | undefined;
  /** For a budget: the calibration text; by default the one that comes with weightpress. `false`: no calibration, and no loss is measured. */
  readonly calibration?: CalibrationOptions | false | undefined;
  /** For `trellis`: tunes norms and biases at the end, which is slow and helps below about 2.3 bits per weight. */
  readonly tune?: boolean | undefined;
  /** For a budget: the state of a checkpoint that is the model, as in {@link OpenModelOptions}. */
  readonly state?: string | undefined;
  /** Number of worker threads; 0: none; default: the machine's parallelism. The file is the same with any number. */
  readonly threads?: number | undefined;
  /** Replaces an existing output. */
  readonly force?: boolean | undefined;
  /** Lossless: continues the output of an interrupted run on this machine. */
  readonly resume?: boolean | undefined;
  /** Patterns of files to leave out: `*.onnx`, `onnx/**`. The file lists their names. */
  readonly exclude?: readonly string[] | undefined;
  /** Lossless, for a Hub repository: includes further copies of the same weights in other formats. */
  readonly all?: boolean | undefined;
  /** For a Hub repository: leaves downloads in the cache. */
  readonly keep?: boolean | undefined;
}

/** Summary of the written file. */
export interface Compressed extends Summary {
  /** Message why the file is below its budget; undefined if the budget is used up, or there is none. */
  readonly note: string | undefined;
}

/**
 * Compresses a model into one .wpk file: losslessly, with all files of its folder byte for byte; or to a budget, an upper limit of the
 * file's measured size or divergence. The file gets its name only when it is complete.
 * @param source a path, an address, a name on the Hub, or an opened model. @param output the file to write.
 * @throws {InputError} for files that cannot be read or stored, a budget that cannot be met (naming the nearest that can), and an
 * output that exists or cannot be written. @throws the signal's reason once it is aborted; there is then no output.
 */
export async function compress(
  source: string | Model,
  output: string,
  options: CompressOptions = {},
): Promise<Compressed> {
  const { budget, codec = budget ? 'trellis' : 'lossless', signal } = options;
  signal?.throwIfAborted();
  checkOptions(codec, options);
  const note = budget
    ? await toBudget(source, output, codec, budget, options)
    : await losslessly(source, output, options);
  return { ...(await inspect(output)), note };
}

/** Options that only lossless, or only lossy, compression has. */
const ONLY_LOSSLESS = ['resume', 'all'] as const;
const ONLY_BUDGET = ['calibration', 'tune', 'state'] as const;

/** Checks that options are compatible. @throws {InputError} if not. */
function checkOptions(codec: Codec, options: CompressOptions): void {
  const { budget } = options;
  const isLossless = codec === 'lossless';
  if (isLossless && budget) throw new InputError('a lossless file takes no budget');
  if (!isLossless && !budget) throw new InputError('a lossy codec needs a budget');
  const misplaced = (isLossless ? ONLY_BUDGET : ONLY_LOSSLESS).find((name) => options[name]);
  if (misplaced)
    throw new InputError(`${misplaced} is for ${isLossless ? 'files with a budget' : 'lossless files'}`);
  if (!budget) return;
  checkBudget(budget);
  if (budget.kl === undefined) return;
  if (typeof codec === 'object')
    throw new InputError('a transform takes a budget of bits, size or ratio, found kl');
  if (options.calibration === false)
    throw new InputError(
      'a budget of kl needs a text to measure the divergence on',
      {},
      { code: 'needs-text' },
    );
}

async function losslessly(
  source: string | Model,
  output: string,
  options: CompressOptions,
): Promise<undefined> {
  const { threads, force, resume, exclude, all, keep, signal } = options;
  const meter = new Meter(options, 'compressing', 0);
  const fetched = new Fetched();
  await compressLossless(source, output, {
    ...given({ threads, force, resume, exclude, all, keep, signal }),
    onFolder: fetched.note,
    onProgress: (done, total) => meter.reach(done, total),
  });
  if (!keep) await fetched.forget();
}

async function toBudget(
  source: string | Model,
  output: string,
  codec: Codec,
  budget: Budget,
  options: CompressOptions,
): Promise<string | undefined> {
  const { threads, force, tune, state, exclude, signal, onProgress, keep } = options;
  const fetched = new Fetched();
  const reading = {
    reading: 'download',
    onFolder: fetched.note,
    state,
    exclude,
    signal,
    onProgress,
  } as const;
  const model = typeof source === 'string' ? await openModel(source, reading) : source;
  let note: string | undefined;
  try {
    const calibration = await calibrationOf(options);
    const common = { budget, force, calibration, onProgress, signal };
    ({ note } = await (typeof codec === 'object'
      ? compressTransform(model, output, { ...transformOf(codec), ...common })
      : compressLossy(model, output, { ...common, threads, tune })));
  } finally {
    if (model !== source) await model.close();
  }
  if (!keep) await fetched.forget();
  return note;
}

function transformOf({ transform, size = 64, dimensions = 1, keepLargest: keep = false }: TransformCodec) {
  return { transform: { transform, size, dimensions }, keep };
}

async function calibrationOf({ calibration }: CompressOptions): Promise<CalibrationSource | undefined> {
  if (calibration === false) return undefined;
  const own = calibration?.text === undefined ? await readCalibrationText() : { text: '', name: 'a text' };
  return { ...own, ...given(calibration ?? {}) };
}

/** Downloads of a run in the Hub cache. */
class Fetched {
  private folder: FetchedFolder | undefined;

  readonly note = (folder: FetchedFolder): void => {
    this.folder = folder;
  };

  async forget(): Promise<void> {
    await this.folder?.forget();
  }
}

/** Returns the options that are not undefined. */
function given<Options extends object>(options: Options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [Key in keyof Options]: Exclude<Options[Key], undefined>;
  };
}
