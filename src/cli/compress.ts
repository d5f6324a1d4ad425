import { Command, Option } from 'commander';
import { TRANSFORMS } from '../codec/transform/coefficients.js';
import type { HubFolder } from '../formats/hub/folder.js';
import { openModel } from '../models.js';
import { compress } from '../press/compress.js';
import { inspect } from '../press/inspect.js';
import { isLossy, type LossyOptions, runLossy } from './lossy.js';
import { openWhole } from './open.js';
import { forceOption, jsonOption, threadsOption, wholeNumber } from './options.js';
import { isAudible, printSentences } from './sentences.js';
import { errorLine, qualityLine, summaryLine, summaryTable } from './summary-table.js';
import { bytes, duration, print, printJson, progress } from './terminal.js';
import { isTransform, runTransform, type TransformFlags } from './transform.js';

interface Options extends LossyOptions, TransformFlags {
  readonly output: string;
  readonly threads?: number;
  readonly resume?: boolean;
  readonly keep?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress compress` */
export function compressCommand(): Command {
  return new Command('compress')
    .description('compress a model into one .wpk file: losslessly, or to a budget')
    .argument(
      '<model>',
      'a folder with model.safetensors or pytorch_model.bin (or shards and their index), one such file or a GGUF file, or a model on the Hub: user/name, user/name@revision',
    )
    .requiredOption('-o, --output <file>', 'the .wpk file to write')
    .option(
      '--kl <nats>',
      'lossy: KL divergence from the original a token, measured on text held out of the calibration',
    )
    .option('--bits <n>', 'lossy: bits per weight, all of the file but config, tokenizer and texts counted')
    .option('--size <size>', 'lossy: size of the whole file, such as 400MB')
    .option('--ratio <n>', 'lossy: original size over compressed size, every byte counted')
    .option(
      '--calibrate <file>',
      'text that tells which errors matter (default: a text that comes with weightpress)',
    )
    .option(
      '--calibration-tokens <n>',
      'tokens of it that are used (default: what a few minutes allow)',
      wholeNumber(1),
    )
    .option(
      '--no-calibration',
      'by the weights alone: a larger file for the same loss, and no loss is measured',
    )
    .option(
      '--statistics <file>',
      'keep what calibration found in this file, and use it again when it is there',
    )
    .option(
      '--tune',
      'at the end, tune norms and biases on the divergence itself: slow, pays below about 2.3 bits a weight; models below 100 M weights',
    )
    .addOption(threadsOption())
    .addOption(
      new Option(
        '--codec <name>',
        'how: lossless, trellis (what a budget means), or a transform to measure as a baseline',
      ).choices(['lossless', 'trellis', ...TRANSFORMS]),
    )
    .option('--block <n>', 'of a transform: weights a block, a power of two from 4 to 256', wholeNumber(4))
    .addOption(
      new Option('--dimensions <n>', 'of a transform: blocks of a row (1), or square tiles (2)').choices([
        '1',
        '2',
      ]),
    )
    .option('--keep-largest', 'of a transform: keep the largest coefficients instead of rounding all')
    .option('--keep', 'of a model on the Hub: leave it in the cache, where Python finds it too')
    .option(
      '--resume',
      'lossless: go on where an interrupted run of the same command stopped, on this machine',
    )
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress compress models/gpt-neo-1.3B -o gpt-neo-1.3B.wpk\n  $ weightpress compress models/gpt-neo-1.3B -o small.wpk --kl 0.01 --calibrate text.txt',
    )
    .action(async (path: string, { output, json, ...options }: Options) => {
      const started = performance.now();
      const lossy = isLossy(options);
      let fetched: HubFolder | undefined;
      const model =
        lossy || options.keep
          ? await openWhole(path, (folder) => {
              fetched = folder;
            })
          : await openModel(path, { reading: 'sequential' });
      const total = model.tensors.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      const bar = progress('compressing', lossy ? 0 : total);
      try {
        if (isTransform(options)) await runTransform(model, output, options);
        else if (lossy) await runLossy(model, output, options);
        else await compress(model, output, { ...options, onProgress: bar.update });
      } finally {
        bar.stop();
        await model.close();
      }
      const seconds = (performance.now() - started) / 1000;
      await report(path, output, { seconds, total, lossy, ...(json && { json }) });
      if (!options.keep) await fetched?.forget();
    });
}

interface Report {
  readonly seconds: number;
  /** Bytes of tensors. */
  readonly total: number;
  readonly lossy: boolean;
  readonly json?: boolean;
}

/** What the file holds, what its loss is, and, where that can be heard, a sentence before and after. */
async function report(path: string, output: string, { seconds, total, json, lossy }: Report): Promise<void> {
  const summary = await inspect(output);
  if (json) return printJson({ ...summary, seconds });
  print(summaryTable(summary));
  print();
  print(summaryLine(summary));
  if (lossy) {
    print(errorLine(summary));
    print(qualityLine(summary.quality));
    if (isAudible(summary.quality)) await printSentences(path, output);
  }
  print(
    `${lossy ? 'lossy' : 'lossless'}; ${duration(seconds)}, ${bytes(Math.round(total / seconds))}/s; written to ${output}`,
  );
}
