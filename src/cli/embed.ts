import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import { NOTICES } from '../core/notices.js';
import { embed } from '../evaluation/node/run.js';
import type { Embeddings } from '../inference/embedding/embed.js';
import { readTextOrInput } from '../io/node/standard-input.js';
import { count } from './format.js';
import { openWhole } from './open.js';
import { baseOption, jsonOption } from './options.js';
import { withBars } from './progress-line.js';
import { print, printJson } from './terminal.js';

interface Options {
  readonly file?: string;
  readonly prompt?: string;
  readonly base?: string;
  readonly json?: true;
}

/** `weightpress embed MODEL TEXT...` */
export function embedCommand(): Command {
  return new Command('embed')
    .argument('<model>', 'a folder, a .wpk file, or a model on the Hub: an embedding model')
    .argument('[texts...]', 'the texts to embed')
    .option('--file <file>', 'embed every line of this file; - reads standard input')
    .option('--prompt <name>', "put one of the model's prompts before every text, by its name")
    .addOption(baseOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nPrints one embedding per line, as a JSON array of numbers.\n\nExample:\n  weightpress embed all-MiniLM-L6-v2.wpk "A man is eating food." "Someone has lunch."',
    )
    .action(async (path: string, given: readonly string[], options: Options) => {
      const texts = await textsOf(given, options.file);
      const found = await run(path, texts, options);
      if (found.meanByDefault)
        NOTICES.show(
          `${path}: has no modules.json; the mean of all tokens is used, as sentence-transformers does`,
        );
      if (found.cut)
        NOTICES.show(`${count(found.cut)} texts are longer than the model reads; their ends were left out`);
      const embeddings = found.embeddings.map((vector) => Array.from(vector));
      if (options.json) return printJson({ ...found, embeddings });
      for (const vector of embeddings) print(JSON.stringify(vector));
    });
}

/** Returns the texts of the command line, or the lines of a file. @throws {InputError} unless there is one of the two. */
async function textsOf(given: readonly string[], file: string | undefined): Promise<readonly string[]> {
  if (given.length && file !== undefined) throw new InputError('expected texts or --file, found both');
  if (file === undefined) {
    if (!given.length) throw new InputError('expected texts, or --file with a text per line, found neither');
    return given;
  }
  const lines = (await readTextOrInput(file)).split(/\r?\n/).filter((line) => line.trim());
  if (!lines.length) throw new InputError('has no lines with text', { file });
  return lines;
}

async function run(path: string, texts: readonly string[], { prompt, base }: Options): Promise<Embeddings> {
  const model = await openWhole(path, { base });
  try {
    return await withBars((onProgress) => embed(model, texts, { prompt, onProgress }));
  } finally {
    await model.close();
  }
}
