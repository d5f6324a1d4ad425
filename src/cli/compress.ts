import { Command } from 'commander';
import { openModel } from '../models.js';
import { compress } from '../press/compress.js';
import { inspect } from '../press/inspect.js';
import { forceOption, jsonOption, threadsOption } from './options.js';
import { summaryLine, summaryTable } from './summary-table.js';
import { bytes, duration, print, printJson, progress, whenInterrupted } from './terminal.js';

interface Options {
  readonly output: string;
  readonly threads?: number;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress compress` */
export function compressCommand(): Command {
  return new Command('compress')
    .description('compress a model losslessly into one .wpk file')
    .argument(
      '<model>',
      'a folder with model.safetensors (or shards and their index), or a .safetensors file',
    )
    .requiredOption('-o, --output <file>', 'the .wpk file to write')
    .addOption(threadsOption())
    .option('--resume', 'go on where an interrupted run of the same command stopped')
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress compress models/gpt-neo-1.3B -o gpt-neo-1.3B.wpk')
    .action(async (path: string, { output, json, ...options }: Options) => {
      const started = performance.now();
      const model = await openModel(path);
      const total = model.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      const bar = progress('compressing', total);
      const unwatch = whenInterrupted(
        `interrupted; the same command with --resume goes on from ${output}.partial`,
      );
      try {
        await compress(model, output, { ...options, onProgress: bar.update });
      } finally {
        unwatch();
        bar.stop();
        await model.close();
      }
      const seconds = (performance.now() - started) / 1000;
      const summary = await inspect(output);
      if (json) return printJson({ ...summary, seconds });
      print(summaryTable(summary));
      print();
      print(summaryLine(summary));
      print(`lossless; ${duration(seconds)}, ${bytes(Math.round(total / seconds))}/s; written to ${output}`);
    });
}
