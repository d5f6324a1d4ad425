// One compression in one process with two threads, and on two workers of one thread each: the same file, and where the time goes.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytes, percent, table } from '../dist/cli/format.js';
import { load, makeStore, processorSeconds, runChild, startRedis, startWorkers } from './machines-local.js';
import { machine, median } from './measure.js';
import { synthesize } from './synthesize.js';

const USAGE = `usage: node bench/machines.js [MODEL_DIR] [--rounds 3] [--bits 3 | --lossless] [--calibration-tokens 4096]
  default model: synthetic, of the shape of DialoGPT-small`;

/** Processors of everything: the threads of the one process, and the workers. */
const CORES = 2;
const RUN = fileURLToPath(new URL('./machines-run.js', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    bits: { type: 'string', default: '3' },
    lossless: { type: 'boolean', default: false },
    'calibration-tokens': { type: 'string', default: '4096' },
    help: { type: 'boolean' },
  },
});
if (values.help || positionals.length > 1) {
  console.log(USAGE);
  process.exit(values.help ? 0 : 2);
}
// children inherit it, and onnxruntime takes as many threads
if (availableParallelism() > CORES) execFileSync('taskset', ['-cp', `0-${CORES - 1}`, `${process.pid}`]);

const folder = mkdtempSync(join(tmpdir(), 'weightpress-machines-'));
const digest = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const settings = {
  bits: values.lossless ? undefined : Number(values.bits),
  tokens: Number(values['calibration-tokens']),
};

async function alone(model, name) {
  const output = join(folder, `${name}.wpk`);
  const run = await runChild(RUN, [JSON.stringify({ ...settings, model, output, threads: CORES })]);
  return { ...run, output };
}

async function onWorkers(model, name, queue) {
  const output = join(folder, `${name}.wpk`);
  const store = makeStore(folder, `store-${name}`);
  const workers = await startWorkers(CORES, { queue, store });
  try {
    const before = workers.pids.map(processorSeconds);
    const run = await runChild(RUN, [JSON.stringify({ ...settings, model, output, queue, store })]);
    const busy = workers.pids.map((pid, i) => processorSeconds(pid) - before[i]);
    return { ...run, output, busy };
  } finally {
    await workers.stop();
    rmSync(store, { recursive: true });
  }
}

const seconds = (value) => value.toFixed(1);

function printStages(one, many) {
  const names = [...new Set([...many.stages, ...one.stages].map(({ stage }) => stage))];
  const of = ({ stages }, name) =>
    stages.filter(({ stage }) => stage === name).reduce((sum, each) => sum + each.seconds, 0);
  const rows = names.map((name) => [name, seconds(of(one, name)), seconds(of(many, name))]);
  console.log(`\n${table(['stage', 'one process, s', 'two workers, s'], rows)}`);
}

function printJobs({ costs, weights }) {
  const rows = Object.entries(costs).map(([kind, cost]) => [
    ...[kind, `${cost.jobs}`, seconds(cost.seconds), seconds(cost.storeSeconds)],
    ...[bytes(cost.readBytes), bytes(cost.writtenBytes)],
    ((cost.readBytes + cost.writtenBytes) / weights).toFixed(2),
  ]);
  console.log(`\n${table(['jobs', 'number', 's', 'store, s', 'read', 'written', 'bytes per weight'], rows)}`);
}

const queue = await startRedis(folder);
try {
  let [model] = positionals;
  if (!model) {
    model = join(folder, 'dialogpt-small');
    await synthesize({ shape: 'dialogpt-small', output: model });
  }
  console.log(`${machine()}; load ${load()}`);
  const rounds = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const runs = {};
    const order = round % 2 ? ['many', 'one'] : ['one', 'many'];
    for (const each of order)
      runs[each] = await (each === 'one'
        ? alone(model, `one-${round}`)
        : onWorkers(model, `many-${round}`, queue.address));
    const { one, many } = runs;
    const same = digest(one.output) === digest(many.output);
    console.log(
      `round ${round + 1}, ${order[0]} first: one process ${seconds(one.seconds)} s (${seconds(one.cpu)} s of processors), ` +
        `two workers ${seconds(many.seconds)} s (${seconds(many.busy[0] + many.busy[1])} s, submitter ${seconds(many.cpu)} s); ` +
        `${same ? 'the same file' : 'FILES DIFFER'}; load ${load()}`,
    );
    if (!same) throw new Error('the files differ');
    rmSync(one.output);
    rmSync(many.output);
    rounds.push(runs);
  }
  const middle = (of) => median(rounds.map(of));
  const [one, many] = [middle((runs) => runs.one.seconds), middle((runs) => runs.many.seconds)];
  const inJobs = middle(({ many: { costs } }) =>
    Object.values(costs).reduce((sum, cost) => sum + cost.seconds, 0),
  );
  const inStore = middle(({ many: { costs } }) =>
    Object.values(costs).reduce((sum, cost) => sum + cost.storeSeconds, 0),
  );
  const busy = middle((runs) => runs.many.busy[0] + runs.many.busy[1]);
  const last = rounds.at(-1);
  const moved = Object.values(last.many.costs).reduce(
    (sum, cost) => sum + cost.readBytes + cost.writtenBytes,
    0,
  );
  printStages(last.one, last.many);
  printJobs(last.many);
  const whole = CORES * many;
  console.log(
    `\nmedians: one process ${seconds(one)} s, two workers ${seconds(many)} s, ratio ${(many / one).toFixed(3)}
workers: ${percent(inJobs / whole)} of their time in jobs, ${percent(inStore / whole)} with something asked of the store, ${percent(1 - busy / whole)} not computing
submitter: ${seconds(middle((runs) => runs.many.cpu))} s of processors, ${percent(middle((runs) => runs.many.cpu / runs.many.seconds))} of the time
through the store: ${(moved / last.many.weights).toFixed(1)} bytes per weight; load ${load()}`,
  );
} finally {
  await queue.stop();
  rmSync(folder, { recursive: true, force: true });
}
