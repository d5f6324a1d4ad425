import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import type { Evaluation } from '../evaluation/evaluate.js';
import { evaluate } from '../evaluation/node/run.js';
import { measurementsOf } from '../evaluation/report.js';
import type { RunningEstimate } from '../evaluation/running.js';
import { checkOutput } from '../io/node/checked-output.js';
import { readBytesOrInput, STANDARD_INPUT } from '../io/node/standard-input.js';
import { attachQuality } from '../operations/attach.js';
import { facts, resultTables } from './evaluation-tables.js';
import { openWhole } from './open.js';
import { forceOption, jsonOption, stateOption, wholeNumber } from './options.js';
import { withBars } from './progress-line.js';
import { print, printJson } from './terminal.js';

interface Options {
  readonly text: string;
  readonly against?: string;
  readonly logits?: string;
  readonly saveLogits?: string;
  readonly force?: true;
  readonly state?: string;
  readonly window?: number;
  readonly tokens?: number;
  readonly secondHalf?: true;
  readonly running?: true;
  readonly attach?: true;
  readonly json?: true;
}

/** `weightpress evaluate MODEL --text FILE` */
export function evaluateCommand(): Command {
  return new Command('evaluate')
    .argument('<model>', 'a folder, a file of weights, a .wpk file, or a model on the Hub')
    .requiredOption('--text <file>', 'a text file in UTF-8; - reads standard input')
    .option('--against <model>', 'the reference model, usually the uncompressed original')
    .option('--save-logits <file>', 'store the logits: those of the reference, without one of the model')
    .option('--logits <file>', 'stored logits of the reference, in place of --against')
    .option('--window <n>', 'tokens per window (default: the context length, at most 2048)', wholeNumber(1))
    .option('--tokens <n>', 'use only the first n tokens (default: all)', wholeNumber(1))
    .option('--second-half', 'score the second half of each window only, as llama.cpp does')
    .option('--running', 'print the estimate after each window on standard error: [1]4.53,[2]4.71,')
    .option('--attach', 'store the result in the evaluated .wpk file, for inspect and catalog')
    .addOption(forceOption())
    .addOption(stateOption())
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, options: Options) => {
      const { saveLogits, force = false } = options;
      if (saveLogits !== undefined) await checkOutput(saveLogits, [options.text], force);
      const text = await readBytesOrInput(options.text);
      const evaluation = await evaluateWithProgress(path, options, text);
      if (options.attach) await attachQuality(path, qualityReport(evaluation, options.text, text));
      if (options.json) return printJson(evaluation);
      print(facts(evaluation));
      print(`\n${resultTables(evaluation)}`);
    });
}

const EXAMPLES = `
Examples:
  weightpress evaluate gpt-neo.wpk --against ./gpt-neo --text wiki.txt --tokens 32768
  weightpress evaluate ./gpt-neo --text wiki.txt --tokens 32768 --save-logits gpt-neo.logits
  weightpress evaluate gpt-neo.wpk --text wiki.txt --logits gpt-neo.logits`;

async function evaluateWithProgress(path: string, options: Options, text: Buffer): Promise<Evaluation> {
  const opened: Model[] = [];
  try {
    const model = await openWhole(path, { state: options.state });
    opened.push(model);
    if (options.attach && model.kind !== 'wpk')
      throw new InputError('--attach needs a .wpk file to store the result in', { file: path });
    const against = options.against === undefined ? undefined : await openWhole(options.against);
    if (against) opened.push(against);
    const { logits, saveLogits, force, window, tokens: maxTokens, secondHalf } = options;
    const measured = { text: text.toString('utf8'), against, logits, window, maxTokens, secondHalf };
    const request = { ...measured, saveLogits, force };
    if (options.running) return await evaluate(model, { ...request, onWindow: printRunning });
    return await withBars((onProgress, note) =>
      evaluate(model, { ...request, onProgress, onWindow: (estimate) => note(runningNote(estimate)) }),
    );
  } finally {
    await Promise.all(opened.map((model) => model.close()));
  }
}

/** Prints the estimate as llama.cpp does, with the divergence behind a slash. */
function printRunning({ windows, totalWindows, perplexity, klNats }: RunningEstimate): void {
  const kl = klNats === undefined ? '' : `/${klNats.toPrecision(4)}`;
  process.stderr.write(`[${windows}]${perplexity.toFixed(4)}${kl},${windows === totalWindows ? '\n' : ''}`);
}

function runningNote({ perplexity, klNats }: RunningEstimate): string {
  const kl = klNats === undefined ? '' : `, KL ${klNats.toPrecision(3)}`;
  return `perplexity ${perplexity.toFixed(2)}${kl}`;
}

/** Returns what is stored in the file: the measurements without local paths, and the name and digest of the text. */
function qualityReport(evaluation: Evaluation, path: string, text: Buffer) {
  const { against } = evaluation;
  const name = path === STANDARD_INPUT ? 'standard input' : basename(path);
  const sha256 = createHash('sha256').update(text).digest('hex');
  return {
    text: { name, bytes: text.length, sha256 },
    ...(against === undefined ? {} : { against: basename(resolve(against)) }),
    ...measurementsOf(evaluation),
  };
}
