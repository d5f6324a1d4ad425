// Simulates the compression of a model of 70 billion weights on 1 to 256 workers, prints tables and draws docs/speed-up.svg.
// The model is a config and the shapes that follow from it; no weights are read or made.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bytes, count, duration, table } from '../dist/cli/format.js';
import { printMachinesPlan } from '../dist/cli/machines-plan.js';
import { planMachines } from '../dist/machines/plan/estimate.js';
import { MEASURED_ON } from '../dist/machines/plan/rates.js';
import { NETWORK, simulate } from '../dist/machines/plan/simulate.js';
import { expectedTokens } from '../dist/quantization/calibration/calibrate.js';
import { plotSpeedUps } from './speed-up-plot.js';
import { shapedModel } from './synthetic/shaped-model.js';

const FIGURE = fileURLToPath(new URL('../docs/speed-up.svg', import.meta.url));
const WORKERS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const BITS = 3;

/** The shape of Llama 3 70B. */
const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_act: 'silu',
  hidden_size: 8192,
  intermediate_size: 28672,
  num_attention_heads: 64,
  num_hidden_layers: 80,
  num_key_value_heads: 8,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  tie_word_embeddings: false,
  vocab_size: 128256,
};

/** A text that is long enough for any number of tokens here. */
const TEXT = ' '.repeat(2 ** 22);

/** Sums seconds by what the time goes to: jobs of a kind, or the parent alone. */
function partsOf(stages, { stages: times }) {
  const parts = { parent: 0 };
  for (const [i, { kind }] of stages.entries()) {
    const { seconds, parentSeconds } = times[i];
    parts.parent += parentSeconds;
    if (kind) parts[kind] = (parts[kind] ?? 0) + seconds - parentSeconds;
  }
  return parts;
}

/** Returns the parts of the time, each with what it takes above an equal share of its work, the largest first. */
function excesses(stages, run, workers) {
  const [own, alone] = [run, simulate(stages, { ...NETWORK, workers: 1 })].map((each) =>
    partsOf(stages, each),
  );
  return Object.entries(own)
    .map(([name, seconds]) => ({ name, seconds: seconds - (name === 'parent' ? 0 : alone[name] / workers) }))
    .sort((a, b) => b.seconds - a.seconds);
}

/** Moves what the parent does after coding to the jobs, each its share by weights. */
const decodeInJobs = (stages) =>
  stages.map(({ after, ...stage }) => {
    if (stage.kind !== 'encode') return { after, ...stage };
    const total = stage.jobs.reduce((sum, { writtenBytes }) => sum + writtenBytes, 0);
    return {
      ...stage,
      jobs: stage.jobs.map((job) => ({
        ...job,
        seconds: job.seconds + (after.seconds * job.writtenBytes) / total,
      })),
      after: { ...after, seconds: 0 },
    };
  });

function printRuns(stages, runs) {
  const kinds = Object.keys(partsOf(stages, runs[0]));
  const limit = (run) => excesses(stages, run, run.workers)[0].name;
  console.log(
    table(
      ['workers', 'of ideal', ...kinds, 'lost most by'],
      runs.map((run) => [
        count(run.workers),
        `${((100 * run.speedUp) / run.workers).toFixed(0)} %`,
        ...kinds.map((kind) => duration(partsOf(stages, run)[kind])),
        run.workers === 1 ? '' : limit(run),
      ]),
    ),
  );
}

/** Prints what other cuts of the work would give. @param finer stages with one window of 512 tokens per job. */
function printChanges(stages, finer) {
  const changes = {
    'as it is': stages,
    'one window per job': finer,
    'decoded and compared by workers': decodeInJobs(stages),
    both: decodeInJobs(finer),
  };
  const shown = [16, 64, 256];
  const seconds = (changed, workers) => simulate(changed, { ...NETWORK, workers }).seconds;
  console.log(
    table(
      ['', ...shown.map((workers) => `${workers} workers`)],
      Object.entries(changes).map(([name, changed]) => [
        name,
        ...shown.map((workers) => {
          const own = seconds(changed, workers);
          return `${duration(own)} (${(seconds(stages, 1) / own).toFixed(1)})`;
        }),
      ]),
    ),
  );
}

const LIMITS = {
  windows: (jobs) => `windows, only ${jobs} jobs`,
  measure: (jobs) => `measuring, only ${jobs} jobs`,
  parent: () => 'the parent alone, comparing',
  matrix: () => 'the largest matrices',
  moments: () => 'the largest matrices',
  encode: () => 'coding',
};

/** Returns the first run below half of the ideal, or the last, with the three largest losses. */
function bendOf({ stages, kinds, runs }) {
  const run = runs.find(({ workers, speedUp }) => speedUp < workers / 2) ?? runs.at(-1);
  const reasons = excesses(stages, run, run.workers)
    .slice(0, 3)
    .map(({ name, seconds }) => {
      const jobs = kinds.find(({ kind }) => kind === name)?.jobs;
      return `${LIMITS[name](jobs)}: ${duration(seconds)}`;
    });
  const share = Math.round((100 * run.speedUp) / run.workers);
  const text = [`○ ${run.workers} workers, ${share} % of ideal. Lost most by:`, ...reasons];
  return { workers: run.workers, speedUp: run.speedUp, text };
}

const model = shapedModel(CONFIG);
console.log(
  `rates of ${MEASURED_ON}; links of ${bytes(NETWORK.linkBytesPerSecond)} per second, a store of ${bytes(NETWORK.storeBytesPerSecond)} per second`,
);
const lines = [];
for (const asked of [undefined, 65536]) {
  const tokens = expectedTokens(model, { text: TEXT, name: 'text', tokens: asked });
  const options = { budget: { bits: BITS }, tokens, workers: WORKERS };
  const plan = await planMachines(model, options);
  const finer = await planMachines(model, { ...options, batchTokens: 512 });
  const name = `${count(tokens.calibrationTokens)} calibration tokens`;
  console.log(`\n${name}, ${count(tokens.measuredTokens)} held out, ${BITS} bits per weight\n`);
  printMachinesPlan(plan, false);
  console.log();
  printRuns(plan.stages, plan.runs);
  console.log();
  printChanges(plan.stages, finer.stages);
  lines.push({ name, points: plan.runs, bend: bendOf(plan) });
}
writeFileSync(FIGURE, plotSpeedUps(lines, WORKERS.at(-1)));
console.log(`\n${FIGURE}`);
