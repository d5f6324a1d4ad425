import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import type { Model } from '../core/model.js';
import { compareEmbeddings, evaluate } from '../evaluation/node/run.js';
import { measurementsOf, type Quality } from '../evaluation/report.js';
import type { RunningEstimate } from '../evaluation/running.js';
import { isEmbeddingModel } from '../inference/embedding/program.js';
import { checkOutput } from '../io/node/checked-output.js';
import { readBytesOrInput, STANDARD_INPUT } from '../io/node/standard-input.js';
import { attachQuality } from '../operations/attach.js';
import { embeddingFacts, embeddingTable } from './embedding-table.js';
import { facts, resultTables } from './evaluation-tables.js';
import { openWhole } from './open.js';
import { baseOption, forceOption, jsonOption, stateOption, wholeNumber } from './options.js';
import { withBars } from './progress-line.js';
import { print, printJson } from './terminal.js';

interface Options {
  readonly text: string;
  readonly against?: string;
  readonly logits?: string;
  readonly saveLogits?: string;
  readonly force?: true;
  readonly state?: string;
  readonly base?: string;
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
    .addOption(baseOption())
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, options: Options) => {
      const { saveLogits, force = false } = options;
      if (saveLogits !== undefined) await checkOutput(saveLogits, [options.text], force);
      const text = await readBytesOrInput(options.text);
      const quality = await evaluateWithProgress(path, options, text);
      if (options.attach) await attachQuality(path, qualityReport(quality, options.text, text));
      if (options.json) return printJson(quality);
      if (quality.kind === 'embedding')
        return print(`${embeddingFacts(quality)}\n\n${embeddingTable(quality)}`);
      print(facts(quality));
      print(`\n${resultTables(quality)}`);
    });
}

const EXAMPLES = `
Embedding models are compared with --against by sentences: one per line, or prose with blank
lines between paragraphs.

Examples:
  weightpress evaluate gpt-neo.wpk --against ./gpt-neo --text wiki.txt --tokens 32768
  weightpress evaluate ./gpt-neo --text wiki.txt --tokens 32768 --save-logits gpt-neo.logits
  weightpress evaluate gpt-neo.wpk --text wiki.txt --logits gpt-neo.logits
  weightpress evaluate minilm.wpk --against ./all-MiniLM-L6-v2 --text sentences.txt`;

async function evaluateWithProgress(path: string, options: Options, text: Buffer): Promise<Quality> {
  const opened: Model[] = [];
  try {
    const model = await openWhole(path, { state: options.state, base: options.base });
    opened.push(model);
    if (options.attach && model.kind !== 'wpk')
      throw new InputError('--attach needs a .wpk file to store the result in', { file: path });
    const against = options.against === undefined ? undefined : await openWhole(options.against);
    if (against) opened.push(against);
    if (isEmbeddingModel(model)) return await evaluateEmbeddings(model, against, options, text);
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

/** Options of `evaluate` that are of predicted tokens. */
const OF_PREDICTIONS = ['logits', 'saveLogits', 'window', 'secondHalf', 'running'] as const;

async function evaluateEmbeddings(
  model: Model,
  against: Model | undefined,
  options: Options,
  text: Buffer,
): Promise<Quality> {
  const misplaced = OF_PREDICTIONS.find((name) => options[name] !== undefined);
  const place = { file: model.id };
  if (misplaced !== undefined) {
    const flag = misplaced.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new InputError(`is an embedding model and predicts no tokens: --${flag} does not apply`, place);
  }
  if (!against)
    throw new InputError(
      'is an embedding model, which is measured by another: name the original with --against',
      place,
    );
  const { tokens: maxTokens } = options;
  return withBars((onProgress) =>
    compareEmbeddings(model, { against, text: text.toString('utf8'), maxTokens, onProgress }),
  );
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
function qualityReport(evaluation: Quality, path: string, text: Buffer) {
  const { against } = evaluation;
  const name = path === STANDARD_INPUT ? 'standard input' : basename(path);
  const sha256 = createHash('sha256').update(text).digest('hex');
  return {
    text: { name, bytes: text.length, sha256 },
    ...(against === undefined ? {} : { against: basename(resolve(against)) }),
    ...measurementsOf(evaluation),
  };
}
