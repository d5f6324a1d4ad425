// One compression in this process, for bench/machines.js: sends what it took, and when each stage began.
import { elementCount } from '../dist/core/dtype.js';
import { openModel } from '../dist/open/open.js';
import { readCalibrationText } from '../dist/operations/calibration-text.js';
import { compress } from '../dist/operations/compress.js';

const { model, output, bits, tokens, threads, queue, store } = JSON.parse(process.argv[2]);

const opened = await openModel(model);
const weights = opened.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
await opened.close();

const stages = [];
const enter = (stage) => {
  const now = performance.now();
  const last = stages.at(-1);
  if (last?.stage === stage) return;
  if (last) last.seconds = (now - last.at) / 1000;
  stages.push({ stage, at: now });
};
enter('opening');
const options = {
  ...(bits !== undefined && { budget: { bits }, calibration: { ...(await readCalibrationText()), tokens } }),
  threads,
  onProgress: ({ stage }) => enter(stage),
};
let costs = {};
if (queue === undefined) await compress(model, output, options);
else {
  const { openFleet } = await import('../dist/machines/open.js');
  const { compressOnFleet } = await import('../dist/machines/compress.js');
  const fleet = await openFleet(queue, store, console.error);
  await compressOnFleet(fleet, model, output, options);
  costs = Object.fromEntries(fleet.costs);
  await fleet.close();
}
enter('end');
const { user, system } = process.cpuUsage();
process.send({ stages: stages.slice(0, -1), cpu: (user + system) / 1e6, costs, weights });
process.disconnect();
