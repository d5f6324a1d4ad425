import { Command, InvalidArgumentError } from 'commander';
import { generate } from '../evaluation/node/run.js';
import type { Generation } from '../inference/generate.js';
import type { Prompt } from '../inference/prompt.js';
import { readTextOrInput, STANDARD_INPUT } from '../io/node/standard-input.js';
import { count } from './format.js';
import { openWhole } from './open.js';
import { baseOption, jsonOption, stateOption, wholeNumber } from './options.js';
import { withBars } from './progress-line.js';
import { print, printJson, printText } from './terminal.js';

interface Options {
  readonly chat?: true;
  readonly system?: string;
  readonly tokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
  readonly state?: string;
  readonly base?: string;
  readonly json?: true;
}

/** `weightpress generate MODEL "prompt"` */
export function generateCommand(): Command {
  return new Command('generate')
    .argument('<model>', 'a folder, a file of weights, a .wpk file, or a model on the Hub')
    .argument('<prompt>', 'the text to continue; - reads it from standard input')
    .option('--chat', "ask a chat model: the prompt goes through the model's chat template")
    .option('--system <text>', 'tell the chat model how to behave; implies --chat')
    .option('--tokens <n>', 'generate at most n tokens', wholeNumber(1), 100)
    .option('--temperature <t>', 'sample; below 1 favors probable tokens', decimal)
    .option('--top-k <k>', 'sample from the k most probable tokens', wholeNumber(1))
    .option('--top-p <p>', 'sample from the most probable tokens with total probability p', decimal)
    .option('--seed <n>', 'seed of the random numbers; the same seed gives the same text', wholeNumber(0), 0)
    .addOption(stateOption())
    .addOption(baseOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  weightpress generate gpt-neo.wpk "Once upon a time" --temperature 0.8 --top-p 0.95 --seed 7\n' +
        '  weightpress generate qwen2-instruct.wpk --chat "Why is the sky blue?" --system "Answer in one sentence."',
    )
    .action(async (path: string, given: string, options: Options) => {
      const prompt = given === STANDARD_INPUT ? await promptFromInput() : given;
      if (options.json) return printJson(await run(path, prompt, options));
      let isBegun = isChat(options);
      const write = (text: string) => {
        printText(isBegun ? text : `${prompt}${text}`); // the prompt not before the model is loaded
        isBegun = true;
      };
      const { tokens, stopped, tokenSeconds } = await run(path, prompt, options, write);
      print();
      if (!process.stderr.isTTY) return;
      const rate = ((tokens.length - 1) / tokenSeconds).toFixed(1);
      process.stderr.write(`${count(tokens.length)} tokens, ${rate}/s; ${REASONS[stopped]}\n`);
    });
}

const isChat = ({ chat, system }: Options): boolean => chat === true || system !== undefined;

/** Returns what is continued: the text, or for a chat messages. */
function promptOf(text: string, options: Options): Prompt {
  if (!isChat(options)) return text;
  const system = options.system === undefined ? [] : [{ role: 'system', content: options.system }];
  return [...system, { role: 'user', content: text }];
}

/** Reads the prompt from standard input, without the line break that a shell adds. */
const promptFromInput = async () => (await readTextOrInput(STANDARD_INPUT)).replace(/\r?\n$/, '');

const REASONS: Readonly<Record<Generation['stopped'], string>> = {
  length: 'token limit reached',
  end: 'end-of-text token',
  context: 'context length reached',
};

async function run(
  path: string,
  prompt: string,
  options: Options,
  write?: (text: string) => void,
): Promise<Generation> {
  const { tokens: maxTokens, temperature, topK, topP, seed, state, base } = options;
  const model = await openWhole(path, { state, base });
  try {
    let written = '';
    const generation = await withBars((onProgress) =>
      generate(model, promptOf(prompt, options), {
        ...{ maxTokens, temperature, topK, topP, seed },
        // the text itself shows how far it is
        onProgress: (progress) => {
          if (progress.stage === 'loading') onProgress(progress);
        },
        onToken: (_, text) => {
          written += text;
          write?.(text);
        },
      }),
    );
    write?.(generation.text!.slice(written.length));
    return generation;
  } finally {
    await model.close();
  }
}

function decimal(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number');
  return value;
}
