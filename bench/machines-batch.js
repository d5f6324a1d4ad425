// Many small models on two workers: how fast, whether each is done once, and whether memory grows.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytes, count } from '../dist/cli/format.js';
import { randomNumbers } from '../dist/core/random.js';
import { queueStatus } from '../dist/queue/status.js';
import { load, makeStore, residentBytes, runChild, startRedis, startWorkers } from './machines-local.js';
import { machine, median } from './measure.js';

const USAGE = `usage: node bench/machines-batch.js [--models 1000] [--lossy 0.1]
  --lossy: the share of the models that is compressed to 3 bits per weight without calibration; the others losslessly`;

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: '1000' },
    lossy: { type: 'string', default: '0.1' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}

const MODELS = Number(values.models);
const LOSSY = Number(values.lossy);
const WORKERS = 2;
const BUNDLED = fileURLToPath(new URL('../examples/gpt-neo-tiny', import.meta.url));
const RUN = fileURLToPath(new URL('./machines-batch-run.js', import.meta.url));
/** Bytes of the weights that differ between models: low bytes of bf16 elements. */
const CHANGES = 64;

/** Writes copies of the bundled model, each with a few other weights, and the list of them. */
function makeModels(folder, output) {
  const files = readdirSync(BUNDLED).map((name) => ({ name, content: readFileSync(join(BUNDLED, name)) }));
  const lines = [];
  for (let i = 0; i < MODELS; i++) {
    const name = `model-${String(i).padStart(5, '0')}`;
    mkdirSync(join(folder, name));
    const random = randomNumbers(i + 1);
    for (const file of files) {
      const content = Buffer.from(file.content);
      if (file.name === 'model.safetensors') {
        const first = 8 + Number(content.readBigUInt64LE(0));
        const elements = (content.length - first) >> 1;
        for (let change = 0; change < CHANGES; change++)
          content[first + 2 * Math.floor(random() * elements)] ^= 1 + Math.floor(random() * 127);
      }
      writeFileSync(join(folder, name, file.name), content);
    }
    const isLossy = Math.floor((i + 1) * LOSSY) > Math.floor(i * LOSSY);
    lines.push(`${join(folder, name)}${isLossy ? ' --bits 3 --no-calibration' : ''}`);
  }
  writeFileSync(output, `${lines.join('\n')}\n`);
}

/** Samples the memory of processes every second. */
function watch(pids) {
  const samples = pids.map(() => []);
  const timer = setInterval(() => {
    for (const [i, pid] of pids.entries()) {
      const resident = residentBytes(pid);
      if (resident !== undefined) samples[i].push(resident);
    }
  }, 1000);
  return {
    stop() {
      clearInterval(timer);
      return samples;
    },
  };
}

/** Returns the median of the first and of the last quarter of samples, without those of the start. */
function quarters(samples) {
  const running = samples.slice(Math.min(10, samples.length >> 3));
  const quarter = Math.max(1, running.length >> 2);
  return [median(running.slice(0, quarter)), median(running.slice(-quarter))];
}

const folder = mkdtempSync(join(tmpdir(), 'weightpress-batch-'));
const queue = await startRedis(folder);
try {
  const [models, output, list] = ['models', 'out', 'list.txt'].map((name) => join(folder, name));
  for (const path of [models, output]) mkdirSync(path);
  makeModels(models, list);
  const store = makeStore(folder, 'store');
  const finished = [];
  const workers = await startWorkers(WORKERS, {
    queue: queue.address,
    store,
    onFinished: (label) => finished.push(label),
  });
  console.log(`${machine()}; load ${load()}`);
  let memory;
  const run = await runChild(RUN, [JSON.stringify({ list, output, queue: queue.address, store })], {
    onStart: (pid) => {
      memory = watch([pid, ...workers.pids]);
    },
  });
  const samples = memory.stop();
  const { kinds, groups } = await queueStatus(queue.address);
  await workers.stop();

  const { rows, cost, seconds } = run;
  const states = Object.groupBy?.(rows, ({ state }) => state) ?? {
    done: rows.filter(({ state }) => state === 'done'),
  };
  const outputs = new Set(rows.map((row) => row.output));
  const files = readdirSync(output).filter((name) => name.endsWith('.wpk'));
  const [kind] = kinds.filter(({ kind: name }) => name === 'model');
  const left = kind.waiting + kind.active + kind.delayed + groups.length;
  const checks = {
    [`${count(states.done?.length ?? 0)} rows are done`]: states.done?.length === MODELS,
    [`${count(outputs.size)} of them differ`]: outputs.size === MODELS && rows.length === MODELS,
    [`${count(files.length)} files, and nothing else`]:
      files.length === MODELS && readdirSync(output).length === MODELS,
    [`workers finished ${count(finished.length)} jobs, ${count(new Set(finished).size)} differ`]:
      finished.length === MODELS && new Set(finished).size === MODELS,
    [`the queue has ${count(kind.completed)} completed, ${count(kind.failed)} failed, ${count(left)} left`]:
      kind.failed === 0 && left === 0 && kind.completed >= Math.min(MODELS, 1000),
    [`${count(cost.jobs)} jobs were counted`]: cost.jobs === MODELS,
  };
  for (const [what, isRight] of Object.entries(checks)) {
    console.log(`${isRight ? 'right' : 'WRONG'}: ${what}`);
    if (!isRight) process.exitCode = 1;
  }
  console.log(
    `${count(MODELS)} models in ${seconds.toFixed(1)} s: ${(MODELS / seconds).toFixed(2)} models per second; ` +
      `jobs took ${cost.seconds.toFixed(1)} s, ${cost.storeSeconds.toFixed(1)} s of them with the store`,
  );
  console.log(`submitter: ${run.cpu.toFixed(1)} s of processors`);
  console.log(
    `through the store: ${bytes(Math.round((cost.readBytes + cost.writtenBytes + run.copied) / MODELS))} per model`,
  );
  for (const [i, name] of ['submitter', 'worker 1', 'worker 2'].entries()) {
    const [first, last] = quarters(samples[i]);
    const peak = Math.max(...samples[i]);
    console.log(`memory of ${name}: first quarter ${bytes(first)}, last ${bytes(last)}, peak ${bytes(peak)}`);
  }
  console.log(`load ${load()}`);
} finally {
  await queue.stop();
  rmSync(folder, { recursive: true, force: true });
}
