import { dirname, join } from 'node:path';
import type { Model, TensorInfo } from '../../core/model.js';
import { Meter, type RunOptions, stageMeter } from '../../core/progress.js';
import { sumOf } from '../../core/sum.js';
import { compareOnnxEmbeddings, evaluateOnnx } from '../../evaluation/onnx.js';
import { ONNX_GRIDS } from '../../grids/onnx.js';
import { Output } from '../../io/node/checked-output.js';
import { makeFolders } from '../../io/node/disk.js';
import { inputsOf } from '../../models/node/inputs.js';
import { unpacked } from '../../models/packed/view.js';
import { loadRuntime } from '../../onnx/node/runtime.js';
import {
  type Calibrated,
  type CalibrationSource,
  calibrate,
} from '../../quantization/calibration/calibrate.js';
import { GridQuantizer, type GridTask } from '../../quantization/grid-quantizer.js';
import { gridTask } from '../../quantization/grid-task.js';
import { qualityReport } from '../../quantization/quality.js';
import { type QuantizationThreads, startQuantization } from '../../quantization/threads.js';
import type { Bits, OnnxDtype } from '../../transformers-js/encoding.js';
import { type TransformersFiles, transformersFiles } from '../../transformers-js/model-files.js';
import type { GraphFiles, MadeFile } from '../../transformers-js/onnx-files.js';
import { OnnxModel } from '../../transformers-js/onnx-model.js';
import type { FindCodes } from '../../transformers-js/weights.js';
import type { Summary } from '../../wpk/summary.js';
import { makeFolder } from '../folder.js';

/** How {@link exportOnnx} runs. */
export interface OnnxExportOptions extends RunOptions {
  /** How weights are stored: a graph and its data for each. By default fp32. */
  readonly dtypes?: readonly OnnxDtype[] | undefined;
  /**
   * The text whose statistics decide the codes of q8 and q4, and whose held-out part the loss is measured on; false rounds each weight to the
   * nearest code, and measures nothing.
   */
  readonly calibration?: CalibrationSource | false | undefined;
  /** Number of worker threads; default: the machine's parallelism. The result is the same with any number. */
  readonly threads?: number | undefined;
  /** Replaces an existing folder. */
  readonly force?: boolean | undefined;
}

/** ONNX files of one dtype that were written. */
export interface ExportedOnnx {
  /** How weights are stored. */
  readonly dtype: OnnxDtype;
  /** Bytes of the graph and its external data. */
  readonly bytes: number;
  /** Measured on the file itself, against the model; undefined for floats, and without calibration. */
  readonly quality: Summary['quality'];
}

/**
 * Writes a model as a folder that transformers.js loads: `onnx/model*.onnx` with external data, config, tokenizer and the files that
 * belong to it. The folder gets its name only when it is complete.
 * @throws {InputError} for a model that cannot be run, a calibration text that is too short, and an output that cannot be written.
 * @throws the signal's reason once it is aborted.
 */
export async function exportOnnx(
  given: Model,
  folder: string,
  options: OnnxExportOptions = {},
): Promise<ExportedOnnx[]> {
  const { dtypes = ['fp32'], calibration = false, force = false, signal } = options;
  signal?.throwIfAborted();
  const model = await unpacked(given, signal);
  const exported: ExportedOnnx[] = [];
  await makeFolder(folder, inputsOf(model), force, async (making) => {
    await using codes =
      calibration && dtypes.some(hasCodes)
        ? await Codes.open(model, making, { ...options, calibration })
        : undefined;
    const made = await transformersFiles(model, dtypes, { findCodes: codes?.find, signal });
    codes?.expect(made);
    const total = sumOf(made.files, ({ lengthBytes }) => lengthBytes);
    const meter = new Meter(options, 'writing ONNX', total);
    const onBytes = (bytes: number) => meter.add(bytes);
    for (const file of made.files) {
      const path = join(making, file.name);
      await makeFolders(dirname(path));
      await writeMadeFile(file, path, { onBytes, signal });
    }
    await model.verify?.();
    for (const [dtype, { files, inputs }] of made.onnx) {
      const path = join(making, files[0]!.name);
      const quality = hasCodes(dtype) ? await codes?.measure(path, inputs) : undefined;
      exported.push({ dtype, bytes: sumOf(files, ({ lengthBytes }) => lengthBytes), quality });
    }
    signal?.throwIfAborted();
  });
  return exported;
}

const hasCodes = (dtype: OnnxDtype) => dtype === 'q8' || dtype === 'q4';

/** The codes of a model's matrices, chosen with statistics, and what they lose. */
class Codes {
  private readonly quantizer: GridQuantizer;
  /** The tasks of each matrix and number of bits, one for each file that has it. */
  private readonly tasks = new Map<string, GridTask[]>();

  private constructor(
    private readonly model: Model,
    private readonly calibrated: Calibrated,
    private readonly threads: QuantizationThreads,
    private readonly options: RunOptions,
  ) {
    this.quantizer = new GridQuantizer(threads);
  }

  /** Collects statistics, and starts the threads. */
  static async open(
    model: Model,
    folder: string,
    { calibration, threads, ...options }: OnnxExportOptions & { readonly calibration: CalibrationSource },
  ): Promise<Codes> {
    const onProgress = stageMeter(options, 'calibrating', 'tokens');
    const calibrated = await calibrate(model, join(folder, 'onnx'), calibration, onProgress, options.signal);
    const pool = startQuantization(threads);
    return new Codes(model, calibrated, pool, options);
  }

  expect({ onnx }: TransformersFiles): void {
    const tasks: GridTask[] = [];
    for (const { tensor, bits, isTransposed } of [...onnx.values()].flatMap(matricesOf)) {
      const { format } = ONNX_GRIDS[bits];
      const task = gridTask(this.model, this.calibrated.statistics, tensor, format, isTransposed);
      tasks.push(task);
      const key = keyOf(tensor.name, bits);
      this.tasks.set(key, [...(this.tasks.get(key) ?? []), task]);
    }
    this.quantizer.expect(tasks);
  }

  /** Finds the codes of a tensor in the next file that has them; undefined where none were expected. */
  readonly find: FindCodes = async (tensor, bits) => {
    const task = this.tasks.get(keyOf(tensor, bits))?.shift();
    return task && ONNX_GRIDS[bits].pack(await this.quantizer.take(task));
  };

  /** Measures a written file, run as it is. */
  async measure(
    path: string,
    inputs: ConstructorParameters<typeof OnnxModel>[2],
  ): Promise<ReturnType<typeof qualityReport>> {
    const { model, calibrated, options } = this;
    const { heldOut } = calibrated;
    const runtime = await loadRuntime();
    const onnx = new OnnxModel(runtime, await runtime.file(path), inputs);
    try {
      const quality =
        heldOut.kind === 'sentences'
          ? await compareOnnxEmbeddings(runtime, onnx, model, heldOut, options)
          : await evaluateOnnx(runtime, onnx, { ...heldOut, against: model, ...options });
      return { ...qualityReport(quality, heldOut), against: model.id };
    } finally {
      await onnx.release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.threads.close();
    await this.calibrated.discard();
  }
}

const keyOf = (tensor: string, bits: Bits) => `${bits} ${tensor}`;

interface Matrix {
  readonly tensor: TensorInfo;
  readonly bits: Bits;
  /** Whether codes have rows where the tensor has columns. */
  readonly isTransposed: boolean;
}

/** Returns the matrices of a file that are quantized with statistics, in its order: all but parts of stacks. */
function matricesOf({ quantized, sources }: GraphFiles): Matrix[] {
  return quantized.flatMap(({ name, encoding, isTransposed }) => {
    const source = sources.get(name);
    const isWhole = source && 'tensor' in source && !source.part;
    return isWhole && 'bits' in encoding
      ? [{ tensor: source.tensor, bits: encoding.bits, isTransposed }]
      : [];
  });
}

/** Writes a file that is made when it is read; it gets its name when it is complete. @throws {InputError} */
export async function writeMadeFile(
  file: MadeFile,
  path: string,
  {
    onBytes,
    signal,
  }: { readonly onBytes?: (bytes: number) => void; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const output = await Output.create(path);
  try {
    for await (const bytes of file.chunks(signal)) {
      await output.write(bytes);
      onBytes?.(bytes.length);
    }
    await output.finish();
  } catch (error) {
    await output.discard();
    throw error;
  }
}
