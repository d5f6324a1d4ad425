import { Command, Option } from 'commander';
import { InputError } from '../core/errors.js';
import { plainLine } from '../core/plain-text.js';
import { type LabOptions, type LabReport, runLab } from '../experiments/lab.js';
import { labPage } from '../experiments/lab-page.js';
import { checkOutput, writeWhole } from '../io/node/checked-output.js';
import { readTextOrInput } from '../io/node/standard-input.js';
import { inputsOf } from '../models/node/inputs.js';
import { bytes, count, percent, table } from './format.js';
import { calibrationOf } from './lossy.js';
import { openWhole } from './open.js';
import { forceOption, jsonOption, wholeNumber } from './options.js';
import { withBars } from './progress-line.js';
import { print, printJson, printLine } from './terminal.js';

interface Options {
  readonly ratio: string;
  readonly block: number;
  readonly dimensions: '1' | '2';
  readonly keepLargest?: boolean;
  readonly text?: string;
  readonly tokens: number;
  readonly prompt: string;
  readonly calibrate?: string;
  readonly calibrationTokens?: number;
  readonly statistics?: string;
  readonly html?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `weightpress lab`: compares transforms with the quantizer. */
export function labCommand(): Command {
  return new Command('lab')
    .argument('<model...>', 'one model, or several of different sizes')
    .option('--ratio <n>', 'the largest ratio, counting only the matrices', '853')
    .option('--block <n>', 'transform: weights per block, a power of two from 4 to 256', wholeNumber(4), 64)
    .addOption(
      new Option('--dimensions <n>', 'transform: blocks of a row (1) or square tiles (2)')
        .choices(['1', '2'])
        .default('1'),
    )
    .option('--keep-largest', 'transform: keep only the largest coefficients instead of rounding all')
    .option('--text <file>', 'evaluation text (default: the held-out part of the calibration text)')
    .option('--tokens <n>', 'number of evaluation tokens', wholeNumber(64), 4096)
    .option('--prompt <words>', 'prompt of the generated sentence', 'It was a dark night, and')
    .option('--calibrate <file>', 'calibration text (default: a text that comes with weightpress)')
    .option('--calibration-tokens <n>', 'number of calibration tokens', wholeNumber(1))
    .option(
      '--statistics <file>',
      'save calibration statistics in this file, or reuse them if it exists; one model only',
    )
    .option('--html <file>', 'write a page with plots')
    .addOption(forceOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress lab models/gpt-neo-small --ratio 853 --html lab.html')
    .action(async (paths: string[], options: Options) => {
      if (options.statistics !== undefined && paths.length > 1)
        throw new InputError('--statistics needs a single model; found several');
      if (options.html !== undefined) {
        const texts = [options.text, options.calibrate].filter((path) => path !== undefined);
        await checkOutput(options.html, texts, options.force ?? false);
      }
      const reports: LabReport[] = [];
      const text = options.text === undefined ? undefined : await readTextOrInput(options.text);
      const calibration = await calibrationOf(options);
      for (const path of paths) reports.push(await report(path, options, { text, calibration }));
      if (options.html !== undefined)
        await writeWhole(options.html, labPage(reports), options.force ?? false);
      if (options.json) return printJson(reports);
      for (const each of reports) printReport(each);
      if (reports.length > 1) printSizes(reports);
      if (options.html !== undefined) print(`\nplots: ${options.html}`);
    });
}

async function report(
  path: string,
  options: Options,
  texts: Pick<LabOptions, 'text' | 'calibration'>,
): Promise<LabReport> {
  const { keepLargest, block, dimensions, tokens, prompt } = options;
  const ratio = Number(options.ratio);
  if (!(ratio > 1)) throw new InputError(`expected --ratio above 1, found ${JSON.stringify(options.ratio)}`);
  const model = await openWhole(path);
  try {
    if (options.html !== undefined) await checkOutput(options.html, inputsOf(model), options.force ?? false);
    const settings = {
      ratio,
      block,
      dimensions: dimensions === '1' ? 1 : 2,
      keep: keepLargest ?? false,
    } as const;
    return await withBars((onProgress) =>
      runLab(model, { ...settings, ...texts, tokens, prompt, onProgress }),
    );
  } finally {
    await model.close();
  }
}

function printReport(report: LabReport): void {
  const { model, matrices, weights, matrixBytes, block, dimensions, coding } = report;
  printLine(`${model}: ${matrices} matrices, ${count(weights)} weights, ${bytes(matrixBytes)}`);
  printLine(
    `transforms of blocks of ${block}, in ${dimensions} dimension${dimensions > 1 ? 's' : ''}, coefficients ${coding}`,
  );
  print(`perplexity of the original: ${report.perplexity.toFixed(3)}`);
  printLine(`it generates: ${report.sentence ?? '-'}`);
  print();
  print(compactionTables(report));
  print();
  print(pointTable(report));
  print();
  print(roleTable(report));
  print();
  for (const { method, ratio, sentence } of report.points)
    if (sentence !== undefined) printLine(`${method}, ${ratio}:1: ${sentence}`);
}

/** Formats, for each role, the energy in the largest tenth of the coefficients and, in a second table, its excess over Gaussian numbers. */
function compactionTables({ curves }: LabReport): string {
  const roles = [...new Set(curves.map(({ role }) => role))];
  const methods = [...new Set(curves.map(({ method }) => method))];
  const rows = methods.map((method) =>
    roles.map((role) => {
      const curve = curves.find((entry) => entry.method === method && entry.role === role)!;
      const at = curve.shares.indexOf(0.1);
      const [energy, gaussian, error] = [curve.energy[at]!, curve.gaussian[at]!, curve.standardError[at]];
      const noise = error == null ? '' : ` ± ${(error * 100).toFixed(1)}`;
      return { energy: percent(energy), excess: `${((energy - gaussian) * 100).toFixed(1)}${noise}` };
    }),
  );
  const of = (heading: string, what: 'energy' | 'excess') =>
    table(
      [heading, ...roles.map(roleHeading)],
      rows.map((row, i) => [methods[i]!, ...row.map((cell) => cell[what])]),
    );
  return `${of('energy in the\nlargest 10 %', 'energy')}\n\n${of('over Gaussian,\npoints', 'excess')}`;
}

function pointTable({ points }: LabReport): string {
  const rows = points.map(({ method, ratio, bitsPerWeight, bound, ...measured }) => [
    method,
    `${ratio}:1`,
    bitsPerWeight.toPrecision(3),
    ...(measured.bytes === undefined
      ? ['-', '-', bound.toPrecision(4), '-', '-']
      : [
          bytes(measured.bytes),
          measured.relativeSquaredError!.toPrecision(4),
          bound.toPrecision(4),
          measured.klNats!.toPrecision(4),
          measured.perplexity!.toPrecision(4),
        ]),
  ]);
  const all = table(
    [
      'method',
      'ratio',
      'bits per\nweight',
      'size',
      'squared\nerror',
      'Gaussian\nbound',
      'KL, nats',
      'perplexity',
    ],
    rows,
  );
  const isReached = points.every((point) => point.bytes !== undefined);
  return isReached ? all : `${all}\n- the method reaches no file of this size`;
}

/** Returns a role as a heading in two lines. */
const roleHeading = (role: string) => role.replace(' ', '\n');

/** Formats the errors by role at each ratio. */
function roleTable({ points }: LabReport): string {
  const roles = [...new Set(points.flatMap(({ byRole }) => byRole?.map(({ role }) => role) ?? []))];
  const rows = points
    .filter(({ byRole }) => byRole)
    .map(({ method, ratio, byRole }) => [
      method,
      `${ratio}:1`,
      ...roles.map((role) =>
        byRole!.find((entry) => entry.role === role)!.relativeSquaredError.toPrecision(3),
      ),
    ]);
  return table(['squared error', 'ratio', ...roles.map(roleHeading)], rows);
}

/** Prints the divergence of each method at each ratio, one column per model. */
function printSizes(reports: readonly LabReport[]): void {
  const keys = [
    ...new Set(reports.flatMap(({ points }) => points.map(({ method, ratio }) => `${method} ${ratio}:1`))),
  ];
  const rows = keys.map((key) => [
    key,
    ...reports.map(({ points }) => {
      const found = points.find(({ method, ratio }) => `${method} ${ratio}:1` === key);
      return found?.klNats?.toPrecision(4) ?? '-';
    }),
  ]);
  print(
    `\n${table(['KL, nats', ...reports.map(({ model, weights }) => `${plainLine(model)}\n${count(weights)}`)], rows)}`,
  );
}
