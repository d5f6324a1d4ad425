import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import type { OpenOptions } from '../core/model.js';
import { Fetched } from '../hub/fetched.js';
import { openModel } from '../open/open.js';
import { type Compressed, compress } from '../operations/compress.js';
import { expectedTokens } from '../quantization/calibration/calibrate.js';
import { isLossless } from '../wpk/summary.js';
import { bytes, duration } from './format.js';
import { addBudgetOptions, type BudgetFlags, budgetOptions, isLossy } from './lossy.js';
import {
  costLine,
  isOnMachines,
  type MachineFlags,
  queueOption,
  requireMachines,
  stopSignal,
  storeOption,
} from './machines.js';
import { openWhole } from './open.js';
import { excludeOption, forceOption, jsonOption, stateOption, threadsOption } from './options.js';
import { withBars } from './progress-line.js';
import { isNoticeable, printSentences } from './sentences.js';
import {
  errorLine,
  exactLine,
  fileNotes,
  packedLine,
  qualityLine,
  summaryLine,
  summaryTable,
} from './summary-table.js';
import { print, printJson, printLine, printNotice } from './terminal.js';
import { addTransformOptions, codecOf, type TransformFlags } from './transform.js';

interface Options extends BudgetFlags, TransformFlags, MachineFlags {
  readonly threads?: number;
  readonly resume?: boolean;
  readonly keep?: boolean;
  readonly all?: boolean;
  readonly exclude?: readonly string[];
  readonly state?: string;
  readonly base?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Options of what is done, beside those of whether and where. */
interface Request extends Options {
  readonly output: string;
  readonly dryRun?: boolean;
  readonly plan?: boolean;
}

/** `weightpress compress` */
export function compressCommand(): Command {
  const command = new Command('compress')
    .argument(
      '<model>',
      'a folder (all its files are compressed), one file, or a model on the Hub: user/name, user/name@revision',
    )
    .argument('[output]', 'the .wpk file to write (default: the name of the model, in this folder)')
    .option('-o, --output <file>', 'the same as an option; with --queue also s3://bucket/name.wpk');
  addBudgetOptions(command).addOption(threadsOption());
  return addTransformOptions(command)
    .option('--keep', 'for a model on the Hub: leave it in the Hugging Face cache')
    .option('--resume', 'continue an interrupted run of the same command on this machine')
    .addOption(excludeOption())
    .option('--all', 'for a model on the Hub: include copies of its weights in other formats')
    .addOption(stateOption())
    .option(
      '--base <model>',
      'store weights as differences from this model, which the file then needs: for a fine-tune, its base',
    )
    .option('--dry-run', 'print what would be written, and write nothing')
    .addOption(queueOption('compress on the workers of this queue'))
    .addOption(storeOption())
    .option(
      '--plan',
      'print what a run on 1 to 64 workers takes: jobs, bytes, memory, time; and write nothing',
    )
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress compress models/gpt-neo-1.3B\n  $ weightpress compress models/gpt-neo-1.3B small.wpk --kl 0.01 --calibrate text.txt\n  $ weightpress compress models/llama-70b small.wpk --bits 3 --queue redis://10.0.0.5:6379 --store s3://bucket/results',
    )
    .action(async (path: string, _: unknown, { output, json, dryRun, plan, ...options }: Request) => {
      checkFlags(output, options);
      if (dryRun) return showPlan(path, output, options, json);
      if (plan) return showMachines(path, options, json);
      const started = performance.now();
      const run = isOnMachines(options) ? runOnMachines : isLossy(options) ? runBudget : runLossless;
      await run(path, output, options, async (compressed) => {
        const seconds = (performance.now() - started) / 1000;
        await report(path, output, options, { seconds, compressed, json });
      });
    });
}

const isOnS3 = (output: string) => output.startsWith('s3://');

/** @throws {InputError} for flags that contradict each other. */
function checkFlags(output: string, options: Options): void {
  if (isOnS3(output) && !isOnMachines(options))
    throw new InputError('an output in a bucket needs --queue and --store', { file: output });
  if (typeof codecOf(options) === 'object' && isOnMachines(options))
    throw new InputError('a transform runs in one process, without --queue');
  if (isOnMachines(options) && options.statistics !== undefined)
    throw new InputError('--statistics is for one process: with --queue, statistics are in the store');
  if (options.base !== undefined && isOnMachines(options))
    throw new InputError('--base is for one process, without --queue');
  if (!isLossy(options) && options.state !== undefined)
    throw new InputError('--state needs a budget: a lossless file holds the whole checkpoint');
  if (isLossy(options) && options.all)
    throw new InputError('--all is for lossless files: a lossy one holds one copy of the weights');
}

async function showPlan(
  path: string,
  output: string,
  options: Options,
  json: boolean | undefined,
): Promise<void> {
  if (typeof codecOf(options) === 'object') throw new InputError('--dry-run cannot plan a transform');
  const { showLossless, showLossy } = await import('./dry-run.js');
  await (isLossy(options) ? showLossy : showLossless)(path, output, options, json);
}

async function showMachines(path: string, options: Options, json: boolean | undefined): Promise<void> {
  if (options.base !== undefined) throw new InputError('--plan is for workers, which do not have a base');
  const { planMachines } = await import('../machines/plan/estimate.js');
  const { printMachinesPlan } = await import('./machines-plan.js');
  const { state, exclude } = options;
  const model = await openModel(path, { state, exclude });
  try {
    const { budget, calibration } = isLossy(options) ? await budgetOptions(options) : {};
    const tokens = calibration ? expectedTokens(model, calibration) : undefined;
    printMachinesPlan(await planMachines(model, { budget, tokens }), json);
  } finally {
    await model.close();
  }
}

/** What is printed of a file, while a model that was fetched for it is still in the cache. */
type Report = (compressed: Compressed) => Promise<void>;

async function runBudget(path: string, output: string, options: Options, report: Report): Promise<void> {
  const { state, exclude, threads, force, resume, keep, base } = options;
  const codec = codecOf(options);
  const fetched = new Fetched();
  const model = await openWhole(path, { onFolder: fetched.note, state, exclude });
  try {
    const settings = { ...(await budgetOptions(options)), codec, threads, force, resume, base };
    await report(await withBars((onProgress) => compress(model, output, { ...settings, onProgress })));
  } finally {
    await model.close();
  }
  if (!keep) await fetched.forget();
}

async function runLossless(path: string, output: string, options: Options, report: Report): Promise<void> {
  const { threads, force, resume, exclude, all, keep, base } = options;
  const settings = { threads, force, resume, exclude, all, keep, base };
  await report(await withBars((onProgress) => compress(path, output, { ...settings, onProgress })));
}

async function runOnMachines(path: string, output: string, options: Options, report: Report): Promise<void> {
  const { state, exclude, force, resume, keep, all, threads } = options;
  const { queue, store } = requireMachines(options);
  const { openFleet } = await import('../machines/open.js');
  const { compressOnFleet } = await import('../machines/compress.js');
  const lossy = isLossy(options) && { ...(await budgetOptions(options)), state, resume };
  const settings = { ...(lossy || { all, resume }), threads, force, exclude, keep, signal: stopSignal() };
  const fleet = await openFleet(queue, store, printNotice);
  try {
    const compressed = await withBars((onProgress) =>
      compressOnFleet(fleet, path, output, { ...settings, onProgress }),
    );
    await report(compressed);
    printNotice(costLine(fleet.cost, compressed.weights));
  } finally {
    await fleet.close();
  }
}

const UNUSED_BASE =
  'the file does not need the base: no tensor is shorter as a difference from one of its name, type and row length';

interface Result {
  readonly seconds: number;
  readonly compressed: Compressed;
  readonly json: boolean | undefined;
}

/** Prints what the file holds, its loss, and, if the loss is large, a sentence by each of the two models. */
async function report(
  path: string,
  output: string,
  { base, ...options }: OpenOptions & Pick<Options, 'base'>,
  { seconds, json, compressed: { note, ...summary } }: Result,
): Promise<void> {
  const total = summary.originalBytes;
  if (json) return printJson({ ...summary, seconds, ...(note !== undefined && { note }) });
  const lossy = !isLossless(summary.tensors);
  print(summaryTable(summary));
  print();
  print(summaryLine(summary));
  if (note) print(note);
  for (const line of fileNotes(summary)) printLine(line);
  if (base !== undefined && !summary.base) print(UNUSED_BASE);
  if (lossy) {
    for (const line of [packedLine(summary), errorLine(summary), exactLine(summary)])
      if (line) printLine(line);
    print(qualityLine(summary.quality));
    if (isNoticeable(summary.quality) && !isOnS3(output)) await printSentences({ path, ...options }, output);
  }
  print(
    `${lossy ? 'lossy' : 'lossless'}; ${duration(seconds)}, ${bytes(Math.round(total / seconds))}/s; written to ${output}`,
  );
}
