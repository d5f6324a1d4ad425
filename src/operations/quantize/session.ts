import { createHash } from 'node:crypto';
import { InputError } from '../../core/errors.js';
import type { Model } from '../../core/model.js';
import { stageMeter } from '../../core/progress.js';
import { VERSION } from '../../core/version.js';
import { lossOf } from '../../evaluation/report.js';
import { writeWhole } from '../../io/node/checked-output.js';
import { openFile } from '../../io/node/file.js';
import type { GgufEntry } from '../../models/gguf/header-writer.js';
import { readImatrix, writeImatrix } from '../../models/gguf/imatrix.js';
import {
  type Calibrated,
  type CalibrationSource,
  calibrate,
  heldOutOf,
} from '../../quantization/calibration/calibrate.js';
import type { HeldOut } from '../../quantization/calibration/held-out.js';
import { imatrixOf, imatrixStatistics } from '../../quantization/calibration/imatrix.js';
import type { Statistics } from '../../quantization/calibration/statistics.js';
import {
  maxReportBytes,
  measureCandidate,
  qualityReport,
  tuneCandidate,
} from '../../quantization/quality.js';
import { type QuantizationThreads, startQuantization } from '../../quantization/threads.js';
import { MIN_TUNING_WINDOWS } from '../../quantization/tuning/tune.js';
import { sourceOf } from '../../wpk/node/manifest.js';
import type { Summary } from '../../wpk/summary.js';
import { calibrationSource } from '../calibration-text.js';
import type { Described, Mapping } from './described.js';
import { type FileParts, QuantizedFile } from './file.js';
import type { QuantizeOptions } from './options.js';
import { digestOfTypes, recordEntries } from './record.js';
import { tunedTensors } from './tuned.js';
import type { ChosenTypes } from './types.js';

/** What a session calibrates with. */
interface Calibration {
  /** What decides the codes; undefined for rounding. */
  readonly statistics: Statistics | undefined;
  /** What the loss is measured on. */
  readonly heldOut: HeldOut | undefined;
  /** Windows for tuning. */
  readonly seen: Calibrated['seen'];
  /** As the file says it. */
  readonly record: Readonly<Record<string, unknown>> | undefined;
  close(): Promise<void>;
}

/** A file that was written and measured, and has no name yet. */
export interface Attempt {
  readonly file: QuantizedFile;
  readonly chosen: ChosenTypes;
  readonly quality: Summary['quality'];
  /** Nats per token; undefined if not measured. */
  readonly loss: number | undefined;
}

/** Names of texts that a file says an importance matrix was made of, and their characters. */
const MAX_DATASETS = 8;
const MAX_NAME = 500;

/** Makes files of one model with one calibration. */
export class Session {
  private constructor(
    readonly model: Model,
    readonly described: Described,
    private readonly path: string,
    private readonly options: QuantizeOptions,
    private readonly source: string,
    private readonly calibration: Calibration,
    readonly threads: QuantizationThreads,
  ) {}

  /** Calibrates, and starts the threads. @throws {InputError} for a text that is too short, or an importance matrix of another model. */
  static async open(
    model: Model,
    described: Described,
    path: string,
    options: QuantizeOptions,
  ): Promise<Session> {
    const source = await sourceOf(model);
    const calibration = await openCalibration(model, described, path, options);
    const threads = startQuantization(options.threads);
    return new Session(model, described, path, options, source, calibration, threads);
  }

  get statistics(): Statistics | undefined {
    return this.calibration.statistics;
  }

  get signal(): AbortSignal | undefined {
    return this.options.signal;
  }

  /** Returns the bytes of a file of these types. */
  sizeOf(chosen: ChosenTypes, choice: string): number {
    return QuantizedFile.sizeOf(this.parts, chosen, this.entries(chosen, choice, undefined));
  }

  private get parts(): FileParts {
    const { model, described, statistics, threads, options } = this;
    return { model, described, statistics, threads, signal: options.signal };
  }

  /** Writes a file and measures it. @param choice what the types are, for its record. @param previous tensors that are alike are copied. */
  async make(chosen: ChosenTypes, choice: string, previous?: Attempt): Promise<Attempt> {
    const { model, options, calibration, path } = this;
    const { signal, force = false } = options;
    const file = await QuantizedFile.write(
      this.parts,
      path,
      chosen,
      this.entries(chosen, choice, undefined),
      {
        force,
        previous: previous?.file,
        onProgress: this.meter('quantizing', 'bytes'),
      },
    );
    try {
      if (options.tune) await this.tune(file);
      const { heldOut } = calibration;
      if (!heldOut) return { file, chosen, quality: undefined, loss: undefined };
      const measured = await measureCandidate(
        file.path,
        model,
        heldOut,
        this.meter('measuring', 'tokens'),
        signal,
      );
      const quality = qualityReport(measured, heldOut);
      await file.setEntries(this.entries(chosen, choice, quality));
      return { file, chosen, quality, loss: lossOf(measured) };
    } catch (error) {
      await file.discard();
      throw error;
    }
  }

  /** Gives an attempt its name. */
  async finish({ file }: Attempt): Promise<void> {
    try {
      this.options.signal?.throwIfAborted();
      await file.finish(() => this.model.verify?.());
    } catch (error) {
      await file.discard();
      throw error;
    }
  }

  /** Returns what reports the progress of a stage. */
  meter(stage: string, unit: 'bytes' | 'tokens' | 'tensors'): (done: number, total: number) => void {
    return stageMeter(this.options, stage, unit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.threads.close();
    await this.calibration.close();
  }

  /** Returns all metadata but the file's type; its length does not depend on the quality. */
  private entries(chosen: ChosenTypes, types: string, quality: Summary['quality']): GgufEntry[] {
    const { heldOut, record } = this.calibration;
    const room = heldOut ? maxReportBytes(heldOut.name, heldOut.kind === 'sentences') : 0;
    const generator = `weightpress ${VERSION}`;
    const { source, described } = this;
    const tensors = digestOfTypes([
      ...described.added.map(({ name, type }) => [name, type.name] as const),
      ...described.views.map(({ name }) => [name, chosen.types.get(name)!.name] as const),
    ]);
    return [
      ...described.entries,
      ...recordEntries({ generator, source, types, tensors, calibration: record, quality }, room),
    ];
  }

  private async tune(file: QuantizedFile): Promise<void> {
    const { model, calibration, options } = this;
    const { seen } = calibration;
    const onProgress = this.meter('tuning', 'tokens');
    const tuned = await tuneCandidate(file.path, model, seen, { onProgress, signal: options.signal });
    await file.replace(await tunedTensors(model, this.described, tuned));
  }
}

async function openCalibration(
  model: Model,
  described: Described,
  path: string,
  options: QuantizeOptions,
): Promise<Calibration> {
  const { imatrix, signal } = options;
  const source = await calibrationSource(options.calibration);
  if (imatrix !== undefined) return withImatrix(model, described.mapping!, imatrix, source);
  if (!source)
    return { statistics: undefined, heldOut: undefined, seen: [], record: undefined, close: async () => {} };
  const calibrated = await calibrate(
    model,
    path,
    source,
    stageMeter(options, 'calibrating', 'tokens'),
    signal,
  );
  const { statistics, heldOut, seen } = calibrated;
  const sha256 = createHash('sha256').update(source.text).digest('hex');
  const record = { text: source.name.replace(/^held out of /, ''), sha256, tokens: statistics.tokens };
  try {
    if (options.tune && seen.length < MIN_TUNING_WINDOWS)
      throw new InputError(
        `tuning needs a causal model and at least ${MIN_TUNING_WINDOWS} windows of calibration text, found ${seen.length}`,
        { file: model.id },
      );
    if (options.saveImatrix !== undefined)
      await saveImatrix(options.saveImatrix, model, described.mapping!, statistics, record.text, options);
  } catch (error) {
    await calibrated.discard();
    throw error;
  }
  return { statistics, heldOut, seen, record, close: () => calibrated.discard() };
}

/** Takes the statistics of an importance matrix; the loss is measured on a text all the same. */
async function withImatrix(
  model: Model,
  mapping: Mapping,
  path: string,
  text: CalibrationSource | undefined,
): Promise<Calibration> {
  const source = await openFile(path);
  try {
    const imatrix = await readImatrix(source);
    const statistics = await imatrixStatistics(imatrix, model, mapping.gguf, mapping.plan);
    const record = {
      imatrix: path.split(/[\\/]/).at(-1),
      datasets: imatrix.datasets.slice(0, MAX_DATASETS).map((name) => name.slice(0, MAX_NAME)),
      tokens: statistics.tokens,
    };
    const heldOut = text && (await heldOutOf(model, text));
    return { statistics, heldOut, seen: [], record, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function saveImatrix(
  path: string,
  model: Model,
  mapping: Mapping,
  statistics: Statistics,
  dataset: string,
  { force = false }: QuantizeOptions,
): Promise<void> {
  const chunkSize = Math.min(512, mapping.plan.context);
  const imatrix = await imatrixOf(statistics, model, mapping.gguf, mapping.plan, { chunkSize, dataset });
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeImatrix(imatrix, path.endsWith('.dat') ? 'dat' : 'gguf'))
    chunks.push(chunk.slice());
  await writeWhole(path, Buffer.concat(chunks), force);
}
