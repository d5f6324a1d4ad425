import type { TransformName } from '../codecs/transform/coefficients.js';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { Meter, type RunOptions } from '../core/progress.js';
import { Fetched } from '../hub/fetched.js';
import { unpacked } from '../models/packed/view.js';
import { openModel } from '../open/open.js';
import { compressLossy } from '../quantization/compress.js';
import type { Execution } from '../quantization/execution.js';
import { type Budget, checkBudget } from '../quantization/rate-control/budget.js';
import type { Summary } from '../wpk/summary.js';
import { type CalibrationOptions, calibrationSource } from './calibration-text.js';
import { inspect } from './inspect.js';
import { withBase } from './lossless/base.js';
import { type CompressLosslessOptions, compressLossless } from './lossless/compress.js';

/** A transform of blocks of every matrix: a baseline for other codecs. */
export interface TransformCodec {
  /** Transform; `none` quantizes the weights themselves. */
  readonly transform: TransformName;
  /** Weights per block: a power of two from 4 to 256. Default: 64. */
  readonly size?: number | undefined;
  /** 1 for blocks of a row, 2 for square tiles. Default: 1. */
  readonly dimensions?: 1 | 2 | undefined;
  /** Stores only the largest coefficients, instead of quantizing all. */
  readonly keepLargest?: boolean | undefined;
}

/** Codec of the weights. `trellis` is the default with a budget. */
export type Codec = 'lossless' | 'trellis' | TransformCodec;

/** Options of {@link compress}. */
export interface CompressOptions extends RunOptions {
  /** Default: `lossless`, or `trellis` with a budget. */
  readonly codec?: Codec | undefined;
  /** Maximum divergence, or maximum size. */
  readonly budget?: Budget | undefined;
  /** Lossy: calibration text. Default: a text that comes with weightpress. `false`: no calibration, and the loss is not measured. */
  readonly calibration?: CalibrationOptions | false | undefined;
  /** `trellis`: tunes norms and biases at the end. Slow; helps below about 2.3 bits per weight. */
  readonly tune?: boolean | undefined;
  /** Lossy: the state of a checkpoint to compress, as in {@link OpenModelOptions}. */
  readonly state?: string | undefined;
  /** Another model: weights are stored as differences from it, and the file needs it to be read. For a fine-tune, its base. */
  readonly base?: string | Model | undefined;
  /** Number of worker threads; 0 for none. Default: one per core. The result does not depend on it. */
  readonly threads?: number | undefined;
  /** Replaces an existing output. */
  readonly force?: boolean | undefined;
  /** Continues an interrupted run with the same model and options on the same machine. Not for a transform. */
  readonly resume?: boolean | undefined;
  /** Patterns of files to leave out, such as `*.onnx` or `onnx/**`. The .wpk lists them. */
  readonly exclude?: readonly string[] | undefined;
  /** Lossless, for a repository on the Hub: includes copies of its weights in other formats. */
  readonly all?: boolean | undefined;
  /** For a repository on the Hub: leaves downloaded files in the cache. */
  readonly keep?: boolean | undefined;
}

/** Result of {@link compress}. */
export interface Compressed extends Summary {
  /** Why the file is smaller than its budget; undefined otherwise. */
  readonly note: string | undefined;
}

/**
 * Compresses a model into one .wpk file: losslessly, with all files of its folder byte for byte; or to a budget, an upper limit on the
 * measured size or divergence. The file gets its name only when it is complete.
 * @param source a path, an address, a name on the Hub, or an opened model. @param output path of the .wpk to write.
 * @throws {InputError} if the input cannot be read or stored, the budget cannot be met (the message names the nearest that can), or the
 * output exists or cannot be written; with the code `resumable` if something was finished that `resume` continues from.
 * @throws the signal's reason if it is aborted; no output is left.
 */
export async function compress(
  source: string | Model,
  output: string,
  options: CompressOptions = {},
): Promise<Compressed> {
  return compressBy({}, source, output, options);
}

/** Who does the work of {@link compress}: by default this process. */
export interface Means {
  /** For a budget. */
  readonly execution?: Execution | undefined;
  /** For a lossless file. */
  readonly encodeElsewhere?: CompressLosslessOptions['encodeElsewhere'];
}

/** Compresses a model as {@link compress} does, and leaves work to others. The file is the same. */
export async function compressBy(
  means: Means,
  source: string | Model,
  output: string,
  options: CompressOptions,
): Promise<Compressed> {
  const { budget, codec = budget ? 'trellis' : 'lossless', signal } = options;
  signal?.throwIfAborted();
  checkOptions(codec, options);
  if (options.base !== undefined && (means.execution || means.encodeElsewhere))
    throw new InputError('a base is for one process: workers do not have it');
  const note = budget
    ? await toBudget(means, source, output, codec, budget, options)
    : await losslessly(means, source, output, options);
  return { ...(await inspect(output)), note };
}

/** Options of lossless files only, and of lossy files only. */
const ONLY_LOSSLESS = ['all'] as const;
const ONLY_BUDGET = ['calibration', 'tune', 'state'] as const;

/** @throws {InputError} for options that cannot be combined. */
function checkOptions(codec: Codec, options: CompressOptions): void {
  const { budget } = options;
  const isLossless = codec === 'lossless';
  if (isLossless && budget) throw new InputError('a lossless file takes no budget');
  if (!isLossless && !budget) throw new InputError('a lossy codec needs a budget');
  const misplaced = (isLossless ? ONLY_BUDGET : ONLY_LOSSLESS).find((name) => options[name]);
  if (misplaced)
    throw new InputError(`${misplaced} is for ${isLossless ? 'files with a budget' : 'lossless files'}`);
  if (typeof codec === 'object' && options.base) throw new InputError('a transform has no base');
  if (typeof codec === 'object' && options.resume) throw new InputError('a transform cannot be resumed');
  if (!budget) return;
  checkBudget(budget);
  const measure = budget.kl !== undefined ? 'kl' : 'cosine';
  if (budget[measure] === undefined) return;
  if (typeof codec === 'object')
    throw new InputError(`a transform takes a budget of bits, size or ratio, found ${measure}`);
  if (options.calibration === false)
    throw new InputError(`a budget of ${measure} needs a text to measure it on`, {}, { code: 'needs-text' });
}

async function losslessly(
  { encodeElsewhere }: Means,
  source: string | Model,
  output: string,
  options: CompressOptions,
): Promise<undefined> {
  const { threads, force, resume, exclude, all, keep, base, signal } = options;
  const meter = new Meter(options, 'compressing', 0);
  const fetched = new Fetched();
  await compressLossless(source, output, {
    threads,
    force,
    resume,
    exclude,
    all,
    keep,
    base,
    signal,
    encodeElsewhere,
    onFolder: fetched.note,
    onProgress: (done, total) => meter.reach(done, total),
  });
  if (!keep) await fetched.forget();
}

async function toBudget(
  { execution }: Means,
  source: string | Model,
  output: string,
  codec: Codec,
  budget: Budget,
  options: CompressOptions,
): Promise<string | undefined> {
  const { threads, force, resume, tune, state, exclude, base, signal, onProgress, keep } = options;
  const fetched = new Fetched();
  const reading = {
    reading: 'download',
    onFolder: fetched.note,
    state,
    exclude,
    signal,
    onProgress,
  } as const;
  const opened = typeof source === 'string' ? await openModel(source, reading) : source;
  let note: string | undefined;
  try {
    const model = await unpacked(opened, signal);
    const calibration = await calibrationSource(options.calibration);
    const common = { budget, force, threads, calibration, onProgress, signal };
    if (typeof codec === 'object') {
      const { compressTransform } = await import('./compress-transform.js'); // on demand: it loads a library of matrices
      ({ note } = await compressTransform(model, output, { ...transformOf(codec), ...common }));
    } else
      note = await withBase(output, { base, force, signal }, async (base) => {
        const result = await compressLossy(model, output, { ...common, tune, resume, execution, base });
        return result.note;
      });
  } finally {
    if (opened !== source) await opened.close();
  }
  if (!keep) await fetched.forget();
  return note;
}

function transformOf({ transform, size = 64, dimensions = 1, keepLargest: keep = false }: TransformCodec) {
  return { transform: { transform, size, dimensions }, keep };
}
