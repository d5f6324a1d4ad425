// Structure-aware fuzzing of everything that is read: npm run fuzz -- --minutes 10 [--seed 1] [--only wpk] [--inputs 1000] [--input FILE]
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeInput, saveInput } from './input.js';
import { ALL_KINDS, KINDS, ROUND } from './kinds/index.js';
import { series } from './series.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    inputs: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', multiple: true, default: ROUND },
    input: { type: 'string' },
    processes: { type: 'string', default: String(availableParallelism()) },
    seconds: { type: 'string', default: '5' },
    out: { type: 'string', default: join(tmpdir(), 'weightpress-findings') },
  },
});
const unknown = values.only.find((kind) => !Object.hasOwn(ALL_KINDS, kind));
if (unknown) {
  console.error(`--only takes ${Object.keys(KINDS).join(', ')}`);
  process.exit(2);
}

/** Temporary files are in memory, because so many are created and removed. */
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'weightpress-fuzz-'));
const started = Date.now();
const seed = Number(values.seed);
const settings = {
  kinds: values.only,
  seed,
  step: values.input ? 1 : Number(values.processes),
  count: values.inputs === 'Infinity' ? Number.MAX_SAFE_INTEGER : Number(values.inputs),
  until: started + Number(values.minutes) * 60_000,
  input: values.input,
  seconds: Number(values.seconds),
  memoryBytes: 300e6,
  scratch,
};
const counts = {};
const findings = [];

function add(finding) {
  findings.push(finding);
  console.log(`\n${finding.kind}, input ${finding.number}: ${finding.what}`);
}

/** Stores findings; only a few inputs of each cause, which many inputs may share. */
async function saveFindings() {
  if (values.input || !findings.length) return;
  mkdirSync(values.out, { recursive: true });
  for (const { kind, number } of findings.slice(0, 200)) {
    if (number < 0) continue;
    const path = join(values.out, `${kind}-${seed}-${number}.json`);
    saveInput(path, await makeInput(values.only, seed, number));
    console.log(`node scripts/fuzz/run.js --input ${path}`);
  }
}

const on = {
  finding: add,
  counts: (own) => {
    for (const [kind, n] of Object.entries(own)) counts[kind] = (counts[kind] ?? 0) + n;
  },
};
await Promise.all(Array.from({ length: settings.step }, (_, index) => series(index, settings, on)));
const elapsed = (Date.now() - started) / 1000;
await saveFindings();
rmSync(scratch, { recursive: true, force: true });
const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
for (const [kind, n] of Object.entries(counts))
  console.log(`${kind.padEnd(12)} ${String(n).padStart(9)} inputs`);
console.log(
  `${'all'.padEnd(12)} ${String(total).padStart(9)} inputs, ${(total / elapsed).toFixed(0)} per second, seed ${seed}, ${findings.length} findings`,
);
process.exit(findings.length ? 1 : 0);
