import { Command, Option } from 'commander';
import { TRANSFORMS } from '../codecs/transform/coefficients.js';
import { InputError } from '../core/errors.js';
import type { OpenOptions } from '../core/model.js';
import type { FetchedFolder } from '../hub/folder.js';
import { type Compressed, compress } from '../operations/compress-any.js';
import { isLossless } from '../wpk/summary.js';
import { budgetOptions, isLossy, type LossyOptions } from './lossy.js';
import { openWhole } from './open.js';
import {
  excludeOption,
  forceOption,
  jsonOption,
  stateOption,
  threadsOption,
  wholeNumber,
} from './options.js';
import { isAudible, printSentences } from './sentences.js';
import { errorLine, exactLine, keptLines, qualityLine, summaryLine, summaryTable } from './summary-table.js';
import { bytes, duration, print, printJson, printLine, withBars } from './terminal.js';
import { codecOf, type TransformFlags } from './transform.js';

interface Options extends LossyOptions, TransformFlags {
  readonly threads?: number;
  readonly resume?: boolean;
  readonly keep?: boolean;
  readonly all?: boolean;
  readonly exclude?: readonly string[];
  readonly state?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress compress` */
export function compressCommand(): Command {
  return new Command('compress')
    .description('compress a model into one .wpk file: losslessly, or to a budget')
    .argument(
      '<model>',
      'a folder, of which all files are taken, one file, or a model on the Hub: user/name, user/name@revision',
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
    .addOption(excludeOption())
    .option('--all', 'of a model on the Hub: also the copies of its weights in other formats')
    .addOption(stateOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress compress models/gpt-neo-1.3B -o gpt-neo-1.3B.wpk\n  $ weightpress compress models/gpt-neo-1.3B -o small.wpk --kl 0.01 --calibrate text.txt',
    )
    .action(async (path: string, { output, json, ...options }: Options & { readonly output: string }) => {
      const started = performance.now();
      const run = isLossy(options) ? runBudget : runLossless;
      await run(path, output, options, async (compressed) => {
        const seconds = (performance.now() - started) / 1000;
        await report(path, output, options, { seconds, compressed, json });
      });
    });
}

/** What is printed of a file, while a model that was fetched for it is still in the cache. */
type Report = (compressed: Compressed) => Promise<void>;

async function runBudget(path: string, output: string, options: Options, report: Report): Promise<void> {
  const { state, exclude, threads, force, keep } = options;
  if (options.all)
    throw new InputError('--all is for lossless files: a lossy one holds one copy of the weights');
  const codec = codecOf(options);
  let fetched: FetchedFolder | undefined;
  const onFolder = (folder: FetchedFolder) => {
    fetched = folder;
  };
  const model = await openWhole(path, { onFolder, state, exclude });
  try {
    const settings = { ...(await budgetOptions(options)), codec, threads, force };
    await report(await withBars((onProgress) => compress(model, output, { ...settings, onProgress })));
  } finally {
    await model.close();
  }
  if (!keep) await fetched?.forget();
}

async function runLossless(path: string, output: string, options: Options, report: Report): Promise<void> {
  if (options.state !== undefined)
    throw new InputError('--state needs a budget: a lossless file holds the whole checkpoint');
  codecOf(options); // options that contradict each other
  const { threads, force, resume, exclude, all, keep } = options;
  const settings = { threads, force, resume, exclude, all, keep };
  await report(await withBars((onProgress) => compress(path, output, { ...settings, onProgress })));
}

interface Result {
  readonly seconds: number;
  readonly compressed: Compressed;
  readonly json: boolean | undefined;
}

/** What the file holds, what its loss is, and, where that can be heard, a sentence before and after. */
async function report(
  path: string,
  output: string,
  options: OpenOptions,
  { seconds, json, compressed: { note, ...summary } }: Result,
): Promise<void> {
  const total = summary.originalBytes;
  if (json) return printJson({ ...summary, seconds, ...(note !== undefined && { note }) });
  const lossy = !isLossless(summary.tensors);
  print(summaryTable(summary));
  print();
  print(summaryLine(summary));
  if (note) print(note);
  for (const line of keptLines(summary)) printLine(line);
  if (lossy) {
    for (const line of [errorLine(summary), exactLine(summary)]) if (line) printLine(line);
    print(qualityLine(summary.quality));
    if (isAudible(summary.quality)) await printSentences({ path, ...options }, output);
  }
  print(
    `${lossy ? 'lossy' : 'lossless'}; ${duration(seconds)}, ${bytes(Math.round(total / seconds))}/s; written to ${output}`,
  );
}
