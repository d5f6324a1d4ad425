import { Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { Progress } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import type { OpenModelOptions } from '../open/open.js';
import { decompress } from '../operations/decompress.js';
import { writeGguf } from '../operations/export/gguf.js';
import { type GgufWriteType, WRITE_TYPES } from '../operations/export/gguf-types.js';
import type { ExportedOnnx } from '../operations/export/onnx.js';
import { type ExportDtype, exportSafetensors } from '../operations/export/safetensors.js';
import { inspect } from '../operations/inspect.js';
import { parseSize } from '../quantization/rate-control/budget.js';
import { ONNX_DTYPES, type OnnxDtype } from '../transformers-js/encoding.js';
import { isLossless } from '../wpk/summary.js';
import { bytes, duration } from './format.js';
import {
  addCalibrationOptions,
  type CalibrationFlags,
  calibrationOptions,
  givenCalibration,
} from './lossy.js';
import { lossyOriginal, openWhole } from './open.js';
import {
  baseOption,
  expansionOption,
  forceOption,
  jsonOption,
  stateOption,
  threadsOption,
} from './options.js';
import { withBars } from './progress-line.js';
import { qualityLine } from './summary-table.js';
import { print, printJson } from './terminal.js';

/** Types that `--dtype` takes, by format. */
const DTYPES = { safetensors: ['F32', 'F16', 'BF16'], gguf: WRITE_TYPES, onnx: ONNX_DTYPES } as const;
type Format = keyof typeof DTYPES;

interface Options extends CalibrationFlags {
  readonly output: string;
  readonly format?: Format;
  readonly dtype?: readonly string[];
  readonly shardSize?: string;
  readonly state?: string;
  readonly base?: string;
  readonly maxExpansion?: number;
  readonly threads?: number;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress decompress` */
export function decompressCommand(): Command {
  const command = new Command('decompress')
    .argument('<file>', 'a .wpk file; any model with --format, --dtype or --shard-size')
    .argument(
      '[output]',
      'the folder to create, or the GGUF file (default: the name of the file, in this folder)',
    )
    .option('-o, --output <path>', 'the same as an option')
    .addOption(
      new Option('--format <format>', 'output format instead of the original files').choices([
        'safetensors',
        'gguf',
        'onnx',
      ]),
    )
    .addOption(
      new Option(
        '--dtype <type>',
        'type of the written weights: F32, F16, BF16; in GGUF Q8_0 too; in ONNX fp32, fp16, q8, q4, or several: fp32,q8 (default: unchanged in safetensors, F16 in GGUF, fp32 in ONNX)',
      ).argParser(typeList),
    )
    .option('--shard-size <size>', 'safetensors: maximum size of a file, such as 5GB; writes an index too')
    .addOption(stateOption())
    .addOption(baseOption())
    .addOption(threadsOption())
    .addOption(expansionOption());
  return addCalibrationOptions(command)
    .option('--dry-run', 'print what would be written, and write nothing')
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress decompress gpt-neo-1.3B.wpk\n  $ weightpress decompress qwen.wpk qwen.gguf --format gguf --dtype Q8_0\n  $ weightpress decompress qwen.wpk qwen-onnx --format onnx --dtype q8,q4',
    )
    .action(async (path: string, _: unknown, options: Options) => {
      const { format, dtype, shardSize, dryRun, output } = options;
      checkFlags(options);
      const isRestored = (format ?? dtype ?? shardSize) === undefined;
      if (dryRun && !isRestored)
        throw new InputError('--dry-run is for restoring; not with --format, --dtype or --shard-size');
      if (dryRun) return (await import('./dry-run.js')).showRestored(path, output, options); // on demand: it loads the quantizer
      if (isRestored) return restore(path, options);
      return WRITERS[format ?? 'safetensors'](path, options);
    });
}

/** What the formats without shards are. */
const PIECES = { gguf: 'GGUF is one file', onnx: 'ONNX begins a new file at 2 GB' } as const;

const WRITERS: Readonly<Record<Format, (path: string, options: Options) => Promise<void>>> = {
  safetensors: toSafetensors,
  gguf: toGguf,
  onnx: toOnnx,
};

/** Parses types separated by commas. */
function typeList(text: string): string[] {
  const types = text.split(',').map((type) => type.trim());
  const known = new Set<string>(Object.values(DTYPES).flat());
  const wrong = types.find((type) => !known.has(type));
  if (wrong !== undefined) throw new InvalidArgumentError(`expected some of ${[...known].join(', ')}`);
  return types;
}

/** @throws {InputError} for options that are of another format. */
function checkFlags(options: Options): void {
  const { format = 'safetensors', dtype = [], shardSize } = options;
  const types: readonly string[] = DTYPES[format];
  const misplaced = dtype.find((type) => !types.includes(type));
  if (misplaced !== undefined) {
    const formats = Object.entries(DTYPES).filter(([, own]) =>
      (own as readonly string[]).includes(misplaced),
    );
    throw new InputError(`--dtype ${misplaced} needs --format ${formats.map(([name]) => name).join(' or ')}`);
  }
  if (dtype.length > 1 && format !== 'onnx')
    throw new InputError(`--dtype takes several types only with --format onnx, found ${dtype.join(',')}`);
  if (shardSize !== undefined && format !== 'safetensors')
    throw new InputError(`--shard-size needs --format safetensors; ${PIECES[format]}`);
  const given = givenCalibration(options);
  const quantizes = format === 'onnx' && dtype.some((type) => type === 'q8' || type === 'q4');
  if (given && !quantizes) throw new InputError(`${given} needs --format onnx with --dtype q8 or q4`);
}

async function restore(path: string, { output, json, ...options }: Options): Promise<void> {
  const started = performance.now();
  const summary = await inspect(path);
  const files = [...summary.sideFiles, ...summary.weightFiles];
  const total = sumOf(files, ({ length }) => length);
  await withBars((onProgress) => decompress(path, output, { ...options, onProgress }));
  const seconds = (performance.now() - started) / 1000;
  const listed = files.map(({ name, length, sha256 }) => ({ name, length, sha256 }));
  if (json) return printJson({ folder: output, files: listed, seconds });
  const each = isLossless(summary.tensors)
    ? 'each with the SHA-256 of its original'
    : 'each with the SHA-256 recorded in the .wpk file; lossy: the weights differ from the original';
  print(`${files.length} files, ${bytes(total)}, ${each}`);
  print(`${duration(seconds)}, ${bytes(Math.round(total / seconds))}/s; written to ${output}`);
}

function toSafetensors(
  path: string,
  { output, dtype, shardSize, force, json, state, base }: Options,
): Promise<void> {
  const type = dtype?.[0] as ExportDtype | undefined;
  const shardBytes = shardSize === undefined ? undefined : parseSize(shardSize);
  return written({ path, state, base }, output, json, type ?? 'as stored', (model, onProgress) =>
    exportSafetensors(model, output, { dtype: type, shardBytes, force, onProgress }),
  );
}

function toGguf(
  path: string,
  { output, dtype: [dtype = 'F16'] = [], force, json, state, base }: Options,
): Promise<void> {
  const type = dtype as GgufWriteType;
  return written({ path, state, base }, output, json, type, (model, onProgress) =>
    writeGguf(model, output, { type, force, onProgress }),
  );
}

const LOSSES: Readonly<Record<OnnxDtype, string>> = {
  fp32: '',
  fp16: ', weights rounded to float16',
  q8: ', lossy',
  q4: ', lossy',
};

async function toOnnx(path: string, options: Options): Promise<void> {
  const { output, dtype = ['fp32'], threads, force, json, state, base } = options;
  const dtypes = dtype as readonly OnnxDtype[];
  const started = performance.now();
  const { exportOnnx } = await import('../operations/export/onnx.js'); // on demand: it loads the quantizer
  const calibration = await calibrationOptions(options);
  const model = await openWhole(path, { state, base });
  const note = await lossyOriginal(model, path);
  let files: ExportedOnnx[];
  try {
    files = await withBars((onProgress) =>
      exportOnnx(model, output, { dtypes, calibration, threads, force, onProgress }),
    );
  } finally {
    await model.close();
  }
  const seconds = (performance.now() - started) / 1000;
  if (json) return printJson({ output, files, seconds });
  for (const { dtype, bytes: size, quality } of files) {
    print(`${dtype}: ${bytes(size)}${LOSSES[dtype]}`);
    if (quality) print(qualityLine(quality));
    else if (dtype === 'q8' || dtype === 'q4') print('the loss was not measured: there was no calibration');
  }
  if (note) print(note);
  print(`${duration(seconds)}; written to ${output}`);
}

/** Opens any model, converts it with `write` and prints what was written. */
async function written(
  { path, state, base }: OpenModelOptions & { readonly path: string },
  output: string,
  json: boolean | undefined,
  dtype: string,
  write: (model: Model, onProgress: (progress: Progress) => void) => Promise<void>,
): Promise<void> {
  const started = performance.now();
  const model = await openWhole(path, { state, base });
  let writtenBytes = 0;
  try {
    await withBars((onProgress) =>
      write(model, (progress) => {
        writtenBytes = progress.done;
        onProgress(progress);
      }),
    );
  } finally {
    await model.close();
  }
  const seconds = (performance.now() - started) / 1000;
  if (json) return printJson({ output, dtype, bytes: writtenBytes, seconds });
  print(`${bytes(writtenBytes)} of weights, ${dtype}; ${duration(seconds)}; written to ${output}`);
}
