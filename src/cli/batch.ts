import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import { fileError, readText } from '../io/node/file.js';
import type { BatchItem, BatchRow } from '../machines/batch.js';
import { bytes, duration } from './format.js';
import { addBudgetOptions, type BudgetFlags, budgetOptions, isLossy } from './lossy.js';
import {
  costLine,
  type MachineFlags,
  QUEUE_VARIABLE,
  queueOption,
  requireMachines,
  STORE_VARIABLE,
  stopSignal,
  storeOption,
} from './machines.js';
import { forceOption, refuseRepeated } from './options.js';
import { nameOf } from './output-name.js';
import { print, printLine, printNotice } from './terminal.js';

interface Options extends MachineFlags {
  readonly output: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress batch`: exit code 2 when a model failed. */
export function batchCommand(): Command {
  return new Command('batch')
    .argument(
      '<list>',
      'a file: on each line a model, an output if it has another name, and options of a budget',
    )
    .option('-o, --output <folder>', 'where the .wpk files go: a folder, or s3://bucket/prefix', '.')
    .addOption(queueOption().env(QUEUE_VARIABLE))
    .addOption(storeOption().env(STORE_VARIABLE))
    .addOption(forceOption())
    .option('--json', 'print a line of JSON per model')
    .addHelpText(
      'after',
      '\nExample:\n  $ weightpress batch models.txt -o s3://bucket/models --queue redis://10.0.0.5:6379 --store s3://bucket/results\n\nExample of a list:\n  models/gpt-neo-1.3B\n  user/name --kl 0.01\n  user/other small.wpk --bits 3',
    )
    .action(async (list: string, { output, force, json, ...flags }: Options) => {
      const { queue, store } = requireMachines(flags);
      const items = await readList(list, output);
      const { isInBucket } = await import('../machines/outputs.js');
      if (!isInBucket(output)) await checkFolder(output);
      const [{ openFleet }, { batch }] = await Promise.all([
        import('../machines/open.js'),
        import('../machines/batch.js'),
      ]);
      const fleet = await openFleet(queue, store, printNotice);
      const started = performance.now();
      let failed = 0;
      let done = 0;
      try {
        await batch(fleet, items, {
          force,
          signal: stopSignal(),
          onRow: (row) => {
            if (row.state === 'failed') failed++;
            if (row.state === 'done') done++;
            if (json) print(JSON.stringify(row));
            else printLine(lineOf(row));
          },
        });
      } finally {
        await fleet.close();
      }
      const seconds = (performance.now() - started) / 1000;
      printNotice(`${done} of ${items.length} models in ${duration(seconds)}; ${costLine(fleet.cost)}`);
      if (failed) process.exitCode = 2;
    });
}

/** Checks a folder before anything is done for it. @throws {InputError} when it is not there. */
async function checkFolder(path: string): Promise<void> {
  const found = await stat(path).catch((error) => {
    throw fileError(error, path);
  });
  if (!found.isDirectory()) throw new InputError('expected a folder, found a file', { file: path });
}

/** Reads a list of models. @throws {InputError} naming a line that is wrong. */
async function readList(path: string, folder: string): Promise<BatchItem[]> {
  const { outputIn } = await import('../machines/batch.js');
  const items: BatchItem[] = [];
  const lines = (await readText(path)).split('\n');
  for (const [i, line] of lines.entries()) {
    const words = wordsOf(line);
    if (!words.length || words[0]!.startsWith('#')) continue;
    try {
      const { source, output, flags } = parseLine(words);
      const budget = isLossy(flags) ? await budgetOptions(flags) : undefined;
      items.push({
        source,
        output: outputIn(folder, output ?? nameOf(source)),
        budget: budget?.budget,
        calibration: budget?.calibration ?? false,
      });
    } catch (error) {
      throw new InputError(`line ${i + 1}: ${(error as Error).message}`, { file: path }, { cause: error });
    }
  }
  if (!items.length) throw new InputError('names no models', { file: path });
  return items;
}

/** Splits a line into words; quotes hold a word with spaces together. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c!);
}

function parseLine(words: readonly string[]) {
  const command = addBudgetOptions(new Command().argument('<model>').argument('[output]'))
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  refuseRepeated(command);
  command.parse(words, { from: 'user' });
  const [source, output] = command.args as [string, string?];
  const flags = command.opts<BudgetFlags>();
  for (const name of ['tune', 'statistics'] as const)
    if (flags[name] !== undefined) throw new InputError(`--${name} is for compress`);
  return { source, output: output?.replace(/\.wpk$/, ''), flags };
}

/** Formats a row of the catalog: the loss always stands beside the ratio. */
function lineOf(row: BatchRow): string {
  if (row.state === 'failed') return `failed  ${row.source}: ${row.reason}`;
  if (row.state === 'exists') return `exists  ${row.output}`;
  const { originalBytes = 0, compressedBytes = 0, ratio, klNats, cosine, lossless } = row.entry;
  const loss = lossless
    ? 'lossless'
    : klNats !== undefined
      ? `KL ${klNats.toPrecision(3)}`
      : cosine !== undefined
        ? `cosine ${cosine.toFixed(4)}`
        : 'loss not measured';
  return `done    ${row.output}: ${bytes(originalBytes)} to ${bytes(compressedBytes)}, ratio ${ratio?.toFixed(3)}, ${loss}`;
}
