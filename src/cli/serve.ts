import { Command, InvalidArgumentError } from 'commander';
import type { AnsweredRequest } from '../operations/serve/answering.js';
import { serve } from '../operations/serve/serve.js';
import { parseSize } from '../quantization/rate-control/budget.js';
import { jsonOption, threadsOption } from './options.js';
import { onFirstSignal, print, printError, printFailure, printJson, VERBOSITY } from './terminal.js';

interface Options {
  readonly host: string;
  readonly port: number;
  readonly token?: string;
  readonly cache: string;
  readonly madeCache: string;
  readonly threads?: number;
  readonly json?: true;
}

/** `weightpress serve`: runs until SIGINT or SIGTERM, and then until the answers that are being sent are over. */
export function serveCommand(): Command {
  return new Command('serve')
    .argument('[folder]', 'the folder with the .wpk files', '.')
    .option('--host <address>', 'the address to listen on', '127.0.0.1')
    .option('--port <n>', 'the port; 0 for any that is free', port, 8080)
    .option(
      '--token <token>',
      'what clients have to send; others see it in the list of processes, but not WEIGHTPRESS_TOKEN in the environment',
    )
    .option('--cache <size>', 'maximum size of decoded blocks in memory', '128MB')
    .option(
      '--made-cache <size>',
      "maximum size of GGUF and ONNX files in the system's temporary folder; 0MB offers none",
      '20GB',
    )
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ weightpress serve models\n  $ HF_ENDPOINT=http://127.0.0.1:8080 hf download user/name',
    )
    .action(async (folder: string, { json, cache, madeCache, ...options }: Options) => {
      const serving = await serve(folder, {
        ...options,
        token: options.token ?? (process.env.WEIGHTPRESS_TOKEN || undefined),
        cacheBytes: parseSize(cache),
        madeBytes: parseSize(madeCache),
        onRequest: logRequest,
        onProblem: printFailure,
      });
      const { url } = serving;
      const models = await serving.models();
      if (json) printJson({ url, models });
      else print([`serving at ${url}`, ...(models.length ? models : ['no .wpk file yet'])].join('\n  '));
      await new Promise<void>((resolve) => {
        onFirstSignal(async () => resolve());
      });
      await serving.close();
    });
}

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('expected a whole number of at most 65535');
  return Number(text);
}

/** Prints one line per request: time, client, method, path, status, bytes, seconds. */
function logRequest({
  client,
  method,
  target,
  status,
  sentBytes,
  seconds,
  isComplete,
}: AnsweredRequest): void {
  if (VERBOSITY.quiet) return;
  const cut = isComplete ? '' : ' cut';
  printError(
    `${new Date().toISOString()} ${client} ${method} ${target} ${status} ${sentBytes} ${seconds.toFixed(3)}${cut}`,
  );
}
