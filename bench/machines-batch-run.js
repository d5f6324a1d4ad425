// The submitter of bench/machines-batch.js: sends the rows, and what the jobs took.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { batch, outputIn } from '../dist/machines/batch.js';
import { openFleet } from '../dist/machines/open.js';

const { list, output, queue, store } = JSON.parse(process.argv[2]);
const items = readFileSync(list, 'utf8')
  .trim()
  .split('\n')
  .map((line) => {
    const [source, ...options] = line.split(' ');
    const budget = options.length ? { bits: 3 } : undefined;
    return { source, output: outputIn(output, basename(source)), budget, calibration: false };
  });
const fleet = await openFleet(queue, store, console.error);
const rows = [];
await batch(fleet, items, {
  onRow: (row) => rows.push({ state: row.state, output: row.output, reason: row.reason }),
});
const { user, system } = process.cpuUsage();
const { readBytes, writtenBytes } = fleet.store.traffic;
process.send({ rows, cost: fleet.cost, cpu: (user + system) / 1e6, copied: readBytes + writtenBytes });
await fleet.close();
process.disconnect();
