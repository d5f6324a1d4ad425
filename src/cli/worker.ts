import { Command } from 'commander';
import { InputError } from '../core/errors.js';
import { KINDS } from '../machines/table.js';
import { work } from '../machines/work.js';
import { parseSize } from '../quantization/rate-control/budget.js';
import type { ServeEvent } from '../queue/serve.js';
import {
  type MachineFlags,
  QUEUE_VARIABLE,
  queueOption,
  requireMachines,
  STORE_VARIABLE,
  storeOption,
} from './machines.js';
import { wholeNumber } from './options.js';
import { onFirstSignal, printError, VERBOSITY } from './terminal.js';

interface Options extends MachineFlags {
  readonly concurrency?: number;
  readonly memory?: string;
  readonly kinds?: string;
  readonly grace: number;
}

/** `weightpress worker`: runs until SIGINT or SIGTERM, and then until its jobs are done or handed back. */
export function workerCommand(): Command {
  return new Command('worker')
    .addOption(queueOption().env(QUEUE_VARIABLE))
    .addOption(storeOption().env(STORE_VARIABLE))
    .option(
      '--concurrency <n>',
      'jobs at the same time, one thread each (default: one per core)',
      wholeNumber(1),
    )
    .option(
      '--memory <size>',
      "memory of all jobs together, such as 8GB (default: three quarters of the machine's)",
    )
    .option('--kinds <list>', `kinds of jobs to take: ${KINDS.join(',')} (default: all)`)
    .option(
      '--grace <seconds>',
      'after SIGTERM or SIGINT, time for jobs to finish before they are handed back to the queue',
      wholeNumber(0),
      30,
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ weightpress worker --queue redis://10.0.0.5:6379 --store s3://bucket/results',
    )
    .action(async ({ concurrency, memory, kinds, grace, ...flags }: Options) => {
      const { queue, store } = requireMachines(flags);
      const server = await work(queue, store, {
        concurrency,
        memoryBytes: memory === undefined ? undefined : parseSize(memory),
        kinds: kinds === undefined ? undefined : kindsOf(kinds),
        onEvent: logEvent,
      });
      onFirstSignal(() => server.stop(grace * 1000));
      await server.done;
    });
}

function kindsOf(text: string): string[] {
  const kinds = text.split(',');
  const wrong = kinds.find((kind) => !(KINDS as readonly string[]).includes(kind));
  if (wrong !== undefined)
    throw new InputError(`expected kinds of ${KINDS.join(', ')}, found ${JSON.stringify(wrong)}`);
  return kinds;
}

/** Prints one line per event: time, event, job. Jobs that start are printed with `--verbose`. */
function logEvent({ type, message }: ServeEvent): void {
  if (VERBOSITY.quiet && type !== 'notice' && type !== 'failed') return;
  if (type === 'started' && !VERBOSITY.verbose) return;
  printError(`${new Date().toISOString()} ${type} ${message}`);
}
