import { Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../core/errors.js';
import { Fetched } from '../hub/fetched.js';
import { MIXTURE_NAMES, MIXTURES, type Mixture, type MixtureType } from '../models/gguf/mixtures.js';
import type { QuantizedGguf } from '../operations/quantize/quantize.js';
import type { TypeRule } from '../operations/quantize/types.js';
import { bytes, count, duration } from './format.js';
import { addBudgetOptions, type BudgetFlags, budgetOf, calibrationOptions, hasBudget } from './lossy.js';
import { lossyOriginal, openWhole } from './open.js';
import { baseOption, excludeOption, forceOption, jsonOption, stateOption, threadsOption } from './options.js';
import { withBars } from './progress-line.js';
import { qualityLine } from './summary-table.js';
import { print, printJson } from './terminal.js';
import { CANNOT_LOAD, typeTable } from './type-table.js';

interface Options extends BudgetFlags {
  readonly output: string;
  readonly to?: Mixture;
  readonly tensorType?: readonly TypeRule[];
  readonly imatrix?: string;
  readonly saveImatrix?: string;
  readonly names?: 'llama.cpp' | 'checkpoint';
  readonly threads?: number;
  readonly keep?: boolean;
  readonly exclude?: readonly string[];
  readonly state?: string;
  readonly base?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress quantize` */
export function quantizeCommand(): Command {
  const command = new Command('quantize')
    .argument('<model>', 'a folder, one file, or a model on the Hub: user/name, user/name@revision')
    .argument(
      '[output]',
      'the GGUF file to write (default: the name of the model and the type, in this folder)',
    )
    .option('-o, --output <file>', 'the same as an option')
    .addOption(
      new Option(
        '--to <type>',
        'a mixture of llama.cpp: which tensor gets which type, so size and speed are the same',
      ).choices(MIXTURE_NAMES),
    )
    .addOption(
      new Option(
        '--tensor-type <pattern=type>',
        'a type for tensors whose name in llama.cpp matches a regular expression, such as attn_v=Q6_K; the last that matches counts; may be repeated',
      ).argParser(typeRule),
    );
  addBudgetOptions(command)
    .option('--imatrix <file>', 'an importance matrix of llama.cpp instead of statistics of this model')
    .option(
      '--save-imatrix <file>',
      'write the statistics as an importance matrix of llama.cpp (.dat: its older format)',
    )
    .addOption(
      new Option(
        '--names <names>',
        'names of tensors: checkpoint is for measuring families that llama.cpp does not know; it cannot load such a file',
      ).choices(['llama.cpp', 'checkpoint']),
    )
    .addOption(threadsOption());
  return command
    .option('--keep', 'for a model on the Hub: leave it in the Hugging Face cache')
    .addOption(excludeOption())
    .addOption(stateOption())
    .addOption(baseOption())
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress quantize models/qwen2-0.5b --to Q4_K_M\n  $ weightpress quantize models/qwen2-0.5b qwen.gguf --kl 0.01 --calibrate text.txt',
    )
    .action(async (path: string, _: unknown, options: Options) => {
      checkFlags(options);
      await run(path, options);
    });
}

/** Parses `PATTERN=TYPE`. */
function typeRule(text: string, before: readonly TypeRule[] = []): TypeRule[] {
  const at = text.lastIndexOf('=');
  const type = text.slice(at + 1).toUpperCase();
  if (at < 1 || !TYPES.includes(type))
    throw new InvalidArgumentError(`expected NAME=TYPE with one of ${TYPES.join(', ')}`);
  try {
    return [...before, { pattern: new RegExp(text.slice(0, at)), type: type as MixtureType }];
  } catch {
    throw new InvalidArgumentError('expected a regular expression before =');
  }
}

const TYPES: readonly string[] = [
  ...new Set(Object.values(MIXTURES).map(({ type }) => type)),
  ...['Q4_1', 'Q5_1', 'F16'],
];

/** @throws {InputError} for flags that contradict each other. */
function checkFlags(options: Options): void {
  const budget = hasBudget(options);
  if (!options.to && !budget)
    throw new InputError('expected --to TYPE, or a budget: --kl, --cosine, --bits, --size or --ratio');
  if (options.to && budget)
    throw new InputError('--to contradicts --kl, --cosine, --bits, --size and --ratio');
}

async function run(path: string, options: Options): Promise<void> {
  const started = performance.now();
  const { quantizeGguf } = await import('../operations/quantize/quantize.js'); // on demand: it loads the quantizer
  const {
    output,
    to,
    tensorType,
    imatrix,
    saveImatrix,
    names,
    tune,
    threads,
    force,
    json,
    keep,
    state,
    base,
    exclude,
  } = options;
  const calibration = await calibrationOptions(options);
  const fetched = new Fetched();
  const model = await openWhole(path, { onFolder: fetched.note, state, base, exclude });
  const note = await lossyOriginal(model, path);
  let result: QuantizedGguf;
  try {
    const settings = { types: tensorType, calibration, imatrix, saveImatrix, names, tune, threads, force };
    result = await withBars((onProgress) =>
      quantizeGguf(model, output, { to: to ?? budgetOf(options), ...settings, onProgress }),
    );
  } finally {
    await model.close();
  }
  if (!keep) await fetched.forget();
  const seconds = (performance.now() - started) / 1000;
  if (json) return printJson({ output, ...result, seconds });
  report(result, options, note, seconds);
}

function report(
  { bytes: fileBytes, tensors, fallbacks, quality }: QuantizedGguf,
  { output, names }: Options,
  note: string | undefined,
  seconds: number,
): void {
  print(typeTable(tensors));
  for (const line of fallbackLines(fallbacks)) print(line);
  print(quality ? qualityLine(quality) : 'the loss was not measured: there was no calibration');
  if (note) print(note);
  if (names === 'checkpoint') print(CANNOT_LOAD);
  print(`${bytes(fileBytes)} (${count(fileBytes)} bytes), ${duration(seconds)}; written to ${output}`);
}

/** Returns a line for each type that tensors could not have; `--json` lists them all. */
function fallbackLines(fallbacks: QuantizedGguf['fallbacks']): string[] {
  const kindOf = ({ wanted, given }: (typeof fallbacks)[number]) => `${given} instead of ${wanted}`;
  return [...new Set(fallbacks.map(kindOf))].map((kind) => {
    const names = fallbacks.filter((fallback) => kindOf(fallback) === kind).map(({ name }) => name);
    const all = names.length > 1 ? `${names[0]} to ${names.at(-1)}, ${names.length} tensors` : names[0];
    return `${kind}, whose blocks do not divide rows: ${all}`;
  });
}
