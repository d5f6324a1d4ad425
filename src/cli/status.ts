import { Command } from 'commander';
import { type QueueStatus, queueStatus } from '../queue/status.js';
import { bytes, count, duration, table } from './format.js';
import { type MachineFlags, QUEUE_VARIABLE, queueOption, requireQueue } from './machines.js';
import { jsonOption } from './options.js';
import { print, printJson, printLine } from './terminal.js';

interface Options extends MachineFlags {
  readonly json?: boolean;
}

/** `weightpress status` */
export function statusCommand(): Command {
  return new Command('status')
    .addOption(queueOption().env(QUEUE_VARIABLE))
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  $ weightpress status --queue redis://10.0.0.5:6379')
    .action(async ({ json, ...flags }: Options) => {
      const status = await queueStatus(requireQueue(flags));
      if (json) printJson(status);
      else show(status);
    });
}

function show({ address, workers, kinds, groups, secondsLeft, failures }: QueueStatus): void {
  printLine(`${workers.length === 1 ? '1 worker' : `${count(workers.length)} workers`} at ${address}`);
  if (workers.length)
    print(
      `\n${table(
        ['worker', 'slots', 'memory', 'job', 'for'],
        workers.flatMap(({ host, pid, concurrency, memoryBytes, running }) => {
          const name = [`${host} ${pid}`, count(concurrency), bytes(memoryBytes)];
          const jobs = running.map(({ kind, label, seconds }) => [`${kind} ${label}`, duration(seconds)]);
          return (jobs.length ? jobs : [['', '']]).map((job, i) => [...(i ? ['', '', ''] : name), ...job]);
        }),
        ['left', 'right', 'right', 'left', 'right'],
      )}`,
    );
  if (kinds.length)
    print(
      `\n${table(
        ['jobs', 'waiting', 'running', 'delayed', 'done', 'failed', 'each'],
        kinds.map(({ kind, waiting, active, delayed, completed, failed, meanSeconds }) => [
          kind,
          ...[waiting, active, delayed, completed, failed].map(count),
          meanSeconds === undefined ? '' : `${meanSeconds.toPrecision(2)} s`,
        ]),
      )}`,
    );
  if (groups.length) printLine(`\nunfinished: ${groups.join(', ')}`);
  if (secondsLeft) print(`time left: about ${duration(secondsLeft)}`);
  for (const { kind, label, reason } of failures) printLine(`failed: ${kind} ${label}: ${reason}`);
}
