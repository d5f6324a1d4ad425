import { setMaxListeners } from 'node:events';
import { Option } from 'commander';
import { InputError } from '../core/errors.js';
import type { FleetCost } from '../machines/fleet.js';
import { bytes, count, duration } from './format.js';
import { onFirstSignal } from './terminal.js';

/** Where jobs and their results are. */
export interface MachineFlags {
  readonly queue?: string;
  readonly store?: string;
}

/** @param what the queue is for. */
export const queueOption = (what = 'the queue') =>
  new Option('--queue <address>', `${what}: redis://HOST:6379 (Redis or Valkey) or postgres://HOST/DATABASE`);
export const storeOption = () =>
  new Option(
    '--store <address>',
    'where jobs read and write: s3://bucket/prefix, or a folder that all machines share',
  );

/** Variables of the environment for processes that always need both: others see arguments in the list of processes. */
export const QUEUE_VARIABLE = 'WEIGHTPRESS_QUEUE';
export const STORE_VARIABLE = 'WEIGHTPRESS_STORE';

/** Returns the address of the queue. @throws {InputError} when it is missing. */
export function requireQueue({ queue }: MachineFlags): string {
  if (queue === undefined) throw new InputError('--queue is missing: the address of the queue');
  return queue;
}

/** Returns both addresses. @throws {InputError} when one is missing. */
export function requireMachines(flags: MachineFlags): Required<MachineFlags> {
  const queue = requireQueue(flags);
  const { store } = flags;
  if (store === undefined) throw new InputError('--store is missing: the address of the store');
  return { queue, store };
}

/** Returns whether a queue or a store was given. */
export function isOnMachines({ queue, store }: MachineFlags): boolean {
  return (queue ?? store) !== undefined;
}

/** Returns a signal that SIGINT and SIGTERM abort, so that jobs that no worker has begun are taken back from the queue. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // each job that is waited for listens
  onFirstSignal(async () => {
    controller.abort(
      new InputError('interrupted; what is done stays in the store, and the same command continues'),
    );
  });
  return controller.signal;
}

/** Formats a number of things: `1 job`, `2 jobs`. */
export function counted(n: number, what: string): string {
  return `${count(n)} ${what}${n === 1 ? '' : 's'}`;
}

/** Says what the jobs of a run took. */
export function costLine({ jobs, seconds, readBytes, writtenBytes }: FleetCost, weights?: number): string {
  const moved = readBytes + writtenBytes;
  const perWeight = weights ? `, ${(moved / weights).toFixed(1)} bytes per weight` : '';
  return `${counted(jobs, 'job')} took ${duration(seconds)} of work; workers read ${bytes(readBytes)} and wrote ${bytes(writtenBytes)}${perWeight}`;
}
