import { Command } from 'commander';
import { VERSION } from '../core/version.js';
import { reportLeftovers } from './leftovers.js';
import { quietOption, refuseRepeated, verboseOption } from './options.js';
import { checkStreams, nameOutput } from './output-name.js';
import { VERBOSITY } from './terminal.js';

/** Every command: its description, and its module, which is loaded when it is the one to run. */
const COMMANDS: Readonly<Record<string, readonly [description: string, load: () => Promise<Command>]>> = {
  analyze: [
    'describe a model, the entropy of its bits, and the size of a lossless file',
    async () => (await import('./analyze.js')).analyzeCommand(),
  ],
  compress: [
    'compress a model into one .wpk file: losslessly, or to a budget',
    async () => (await import('./compress.js')).compressCommand(),
  ],
  decompress: [
    'restore all files of a .wpk file, byte for byte, or convert the model to another format',
    async () => (await import('./decompress.js')).decompressCommand(),
  ],
  quantize: [
    "write a GGUF file for llama.cpp in its quantized types, with this program's quantizer",
    async () => (await import('./quantize.js')).quantizeCommand(),
  ],
  verify: [
    'decode and check every block and file without writing; with --against, compare with the original',
    async () => (await import('./verify.js')).verifyCommand(),
  ],
  inspect: [
    'show what a .wpk or GGUF file holds, without decoding it',
    async () => (await import('./inspect.js')).inspectCommand(),
  ],
  evaluate: [
    'measure perplexity on a text and, with --against, KL divergence or cosines to a reference model',
    async () => (await import('./evaluate.js')).evaluateCommand(),
  ],
  generate: [
    'continue a text; greedy unless a sampling option is given',
    async () => (await import('./generate.js')).generateCommand(),
  ],
  embed: [
    'print the embeddings of texts by an embedding model',
    async () => (await import('./embed.js')).embedCommand(),
  ],
  catalog: [
    'list every .wpk file in a folder and its subfolders',
    async () => (await import('./catalog.js')).catalogCommand(),
  ],
  lab: [
    'compare transforms with the quantizer at increasing ratios: energy, error, perplexity, a sentence',
    async () => (await import('./lab.js')).labCommand(),
  ],
  audit: [
    'check a compression claim: whether it is possible, and what the artifact holds',
    async () => (await import('./audit.js')).auditCommand(),
  ],
  serve: [
    'serve a folder of .wpk files as the Hub would serve the models in them',
    async () => (await import('./serve.js')).serveCommand(),
  ],
  push: [
    'upload a .wpk or GGUF file to the Hub, with a generated model card',
    async () => (await import('./push.js')).pushCommand(),
  ],
  worker: [
    'do jobs of compress and batch: take them from a queue, and write their results to a store',
    async () => (await import('./worker.js')).workerCommand(),
  ],
  batch: [
    'compress a list of models on the workers of a queue, one job per model',
    async () => (await import('./batch.js')).batchCommand(),
  ],
  status: [
    'show the workers of a queue, their jobs, and the time left',
    async () => (await import('./status.js')).statusCommand(),
  ],
  completion: [
    'print a script that completes commands and options in bash, zsh or fish',
    async () => (await import('./completion.js')).completionCommand(loadAll),
  ],
};

/** Loads every command with its options, which otherwise only the command that runs has. */
function loadAll(): Promise<Command[]> {
  return Promise.all(
    Object.values(COMMANDS).map(async ([description, load]) => withCommon(await load(), description)),
  );
}

/** Adds what all commands have. */
function withCommon(command: Command, description: string): Command {
  return command.description(description).addOption(quietOption()).addOption(verboseOption());
}

/** Builds the program, with the module of the requested command alone. */
export async function makeProgram(): Promise<Command> {
  const program = new Command('weightpress')
    .description(
      'Compresses transformer weights into one file, losslessly or to a budget, and measures the loss.',
    )
    .version(VERSION)
    .hook('preAction', async (_, command) => {
      const { quiet = false, verbose = false } = command.opts<Partial<typeof VERBOSITY>>();
      Object.assign(VERBOSITY, { quiet, verbose });
      checkStreams(command);
      nameOutput(command);
      await reportLeftovers(command);
    })
    .configureHelp({ showGlobalOptions: false })
    .addHelpText(
      'after',
      '\nExit codes: 0 success, 1 a check failed, 2 bad input or usage, 3 unexpected error.',
    );
  const [first, second] = process.argv.slice(2);
  const asked = first === 'help' ? second : first;
  for (const [name, [description, load]] of Object.entries(COMMANDS)) {
    const command = name === asked ? await load() : new Command(name);
    program.addCommand(withCommon(command, description));
    refuseRepeated(command);
  }
  for (const command of [program, ...program.commands])
    command.exitOverride().showHelpAfterError('(--help shows the usage)');
  return program;
}
