import { Command, Option } from 'commander';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { Progress } from '../core/progress.js';
import { sumOf } from '../core/sum.js';
import { decompress } from '../operations/decompress.js';
import { writeGguf } from '../operations/export/gguf.js';
import { type GgufWriteType, WRITE_TYPES } from '../operations/export/gguf-types.js';
import { type ExportDtype, exportSafetensors } from '../operations/export/safetensors.js';
import { inspect } from '../operations/inspect.js';
import { parseSize } from '../quantization/rate-control/budget.js';
import { isLossless } from '../wpk/summary.js';
import { bytes, duration } from './format.js';
import { openWhole } from './open.js';
import { expansionOption, forceOption, jsonOption, stateOption, threadsOption } from './options.js';
import { withBars } from './progress-line.js';
import { print, printJson } from './terminal.js';

interface Options {
  readonly output: string;
  readonly format?: 'safetensors' | 'gguf';
  readonly dtype?: ExportDtype | GgufWriteType;
  readonly shardSize?: string;
  readonly state?: string;
  readonly maxExpansion?: number;
  readonly threads?: number;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress decompress` */
export function decompressCommand(): Command {
  return new Command('decompress')
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
      ]),
    )
    .addOption(
      new Option(
        '--dtype <type>',
        'type of the written floats (default: unchanged in safetensors, F16 in GGUF)',
      ).choices([...WRITE_TYPES]),
    )
    .option('--shard-size <size>', 'safetensors: maximum size of a file, such as 5GB; writes an index too')
    .addOption(stateOption())
    .addOption(threadsOption())
    .addOption(expansionOption())
    .option('--dry-run', 'print what would be written, and write nothing')
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress decompress gpt-neo-1.3B.wpk\n  $ weightpress decompress qwen.wpk qwen.gguf --format gguf --dtype Q8_0',
    )
    .action(async (path: string, _: unknown, options: Options) => {
      const { format, dtype, shardSize, dryRun, output } = options;
      const isRestored = (format ?? dtype ?? shardSize) === undefined;
      if (dryRun && !isRestored)
        throw new InputError('--dry-run is for restoring; not with --format, --dtype or --shard-size');
      if (dryRun) return (await import('./dry-run.js')).showRestored(path, output, options); // on demand: it loads the quantizer
      if (isRestored) return restore(path, options);
      return format === 'gguf' ? toGguf(path, options) : toSafetensors(path, options);
    });
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
  { output, dtype, shardSize, force, json, state }: Options,
): Promise<void> {
  if (dtype === 'Q8_0') throw new InputError('--dtype Q8_0 needs --format gguf');
  const shardBytes = shardSize === undefined ? undefined : parseSize(shardSize);
  return written({ path, state }, output, json, dtype ?? 'as stored', (model, onProgress) =>
    exportSafetensors(model, output, { dtype, shardBytes, force, onProgress }),
  );
}

function toGguf(
  path: string,
  { output, dtype = 'F16', shardSize, force, json, state }: Options,
): Promise<void> {
  if (shardSize !== undefined)
    throw new InputError('--shard-size needs --format safetensors; GGUF is one file');
  return written({ path, state }, output, json, dtype, (model, onProgress) =>
    writeGguf(model, output, { type: dtype, force, onProgress }),
  );
}

/** Opens any model, converts it with `write` and prints what was written. */
async function written(
  { path, state }: { readonly path: string; readonly state: string | undefined },
  output: string,
  json: boolean | undefined,
  dtype: string,
  write: (model: Model, onProgress: (progress: Progress) => void) => Promise<void>,
): Promise<void> {
  const started = performance.now();
  const model = await openWhole(path, { state });
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
