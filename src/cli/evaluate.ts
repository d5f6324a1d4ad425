import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { Evaluation, Perplexity } from '../evaluation/evaluate.js';
import { evaluate } from '../evaluation/node/run.js';
import type { Estimate } from '../evaluation/statistics.js';
import { readBytes } from '../io/node/file.js';
import { attachQuality } from '../operations/attach.js';
import { openWhole } from './open.js';
import { jsonOption, stateOption, wholeNumber } from './options.js';
import { count, percent, print, printJson, table, withBars } from './terminal.js';

interface Options {
  readonly text: string;
  readonly against?: string;
  readonly state?: string;
  readonly window?: number;
  readonly tokens?: number;
  readonly attach?: true;
  readonly json?: true;
}

/** `weightpress evaluate MODEL --text FILE` */
export function evaluateCommand(): Command {
  return new Command('evaluate')
    .argument('<model>', 'a folder, a file of weights, a .wpk file, or a model on the Hub')
    .requiredOption('--text <file>', 'a text file in UTF-8')
    .option('--against <model>', 'the reference model, usually the uncompressed original')
    .option('--window <n>', 'tokens per window (default: the context length, at most 2048)', wholeNumber(1))
    .option('--tokens <n>', 'use only the first n tokens (default: all)', wholeNumber(1))
    .option('--attach', 'store the result in the evaluated .wpk file, for inspect and catalog')
    .addOption(stateOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExample:\n  weightpress evaluate gpt-neo.wpk --against ./gpt-neo --text wiki.txt --tokens 32768',
    )
    .action(async (path: string, options: Options) => {
      const text = await readBytes(options.text);
      const evaluation = await evaluateWithProgress(path, options, text);
      if (options.attach) await attachQuality(path, qualityReport(evaluation, options.text, text));
      if (options.json) return printJson(evaluation);
      print(facts(evaluation));
      print(`\n${resultTable(evaluation)}`);
    });
}

async function evaluateWithProgress(path: string, options: Options, text: Buffer): Promise<Evaluation> {
  const opened: Model[] = [];
  try {
    const model = await openWhole(path, { state: options.state });
    opened.push(model);
    if (options.attach && model.kind !== 'wpk')
      throw new InputError('--attach needs a .wpk file to store the result in', { file: path });
    const against = options.against === undefined ? undefined : await openWhole(options.against);
    if (against) opened.push(against);
    const { window, tokens: maxTokens } = options;
    return await withBars((onProgress) =>
      evaluate(model, { text: text.toString('utf8'), against, window, maxTokens, onProgress }),
    );
  } finally {
    await Promise.all(opened.map((model) => model.close()));
  }
}

/** Returns what is stored in the file: the evaluation without local paths, and the name and digest of the text. */
function qualityReport({ model: _, against, ...measured }: Evaluation, name: string, text: Buffer) {
  const sha256 = createHash('sha256').update(text).digest('hex');
  return {
    text: { name: basename(name), bytes: text.length, sha256 },
    ...(against === undefined ? {} : { against: basename(resolve(against)) }),
    ...measured,
  };
}

function facts({ model, against, kind, windows, window, tokens }: Evaluation): string {
  const predicted = kind === 'causal' ? 'predicted' : 'predicted under masks';
  const rows = [
    ['model', model],
    ...(against === undefined ? [] : [['against', against]]),
    ['text', `${count(windows)} windows of ${count(window)} tokens, ${count(tokens)} ${predicted}`],
  ];
  return rows.map(([what, value]) => `${what!.padEnd(14)} ${value}`).join('\n');
}

function resultTable(evaluation: Evaluation): string {
  const rows = [
    ...perplexityRows('', evaluation),
    ...(evaluation.reference ? [null, ...perplexityRows('reference ', evaluation.reference)] : []),
    ...comparisonRows(evaluation),
  ];
  return table(['measure', 'value', 'standard error'], rows);
}

function perplexityRows(whose: string, { perplexity, standardError, nll }: Perplexity): string[][] {
  return [
    [`${whose}perplexity`, perplexity.toFixed(4), error(standardError, (value) => value.toFixed(4))],
    estimateRow(`${whose}negative log-likelihood, nats`, nll, (value) => value.toFixed(5)),
  ];
}

function comparisonRows({ nllDifference, kl, top1 }: Evaluation): (string[] | null)[] {
  if (!nllDifference || !kl || !top1) return [];
  return [
    null,
    estimateRow('difference', nllDifference, nats),
    estimateRow('KL divergence, nats: mean', kl, nats),
    ['median', nats(kl.median), ''],
    ['99th percentile', nats(kl.p99), ''],
    ['maximum', nats(kl.max), ''],
    ['same most probable token', percent(top1.agreement), error(top1.standardError, percent)],
  ];
}

function estimateRow(what: string, { mean, standardError }: Estimate, format: (n: number) => string) {
  return [what, format(mean), error(standardError, format)];
}

function error(value: number | null, format: (n: number) => string): string {
  return value === null ? 'unknown (one window)' : format(value);
}

/** Formats nats; divergences span many orders of magnitude. */
function nats(value: number): string {
  return value === 0 ? '0' : Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toFixed(5);
}
