import type { MachinesPlan } from '../machines/plan/estimate.js';
import { MEASURED_ON } from '../machines/plan/rates.js';
import { bytes, count, duration, table } from './format.js';
import { print, printJson, printLine } from './terminal.js';

/** Prints what a run on many machines is going to take: jobs, bytes, memory, and time on 1, 4, 16 and 64 workers. */
export function printMachinesPlan({ kinds, parent, runs }: MachinesPlan, json: boolean | undefined): void {
  if (json) {
    printJson({ kinds, parent, runs, measuredOn: MEASURED_ON, written: false });
    return;
  }
  print(
    table(
      ['jobs', 'number', 'read', 'written', 'longest', 'memory', 'largest'],
      [
        ...kinds.map(({ kind, jobs, readBytes, writtenBytes, longestSeconds, memory }) => [
          kind,
          count(jobs),
          bytes(Math.round(readBytes)),
          bytes(Math.round(writtenBytes)),
          duration(longestSeconds),
          bytes(Math.round(memory.bytes)),
          memory.label,
        ]),
        [
          'this machine',
          '',
          bytes(Math.round(parent.readBytes)),
          bytes(Math.round(parent.writtenBytes)),
          duration(parent.seconds),
        ],
      ],
      ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
    ),
  );
  print();
  print(
    table(
      ['workers', 'time', 'speed-up', 'computing'],
      runs.map(({ workers, seconds, speedUp, utilization }) => [
        count(workers),
        duration(seconds),
        speedUp.toFixed(1),
        `${(100 * utilization).toFixed(0)} %`,
      ]),
    ),
  );
  print();
  printLine(`times are estimates, from rates measured on ${MEASURED_ON}; one worker is one thread`);
}
