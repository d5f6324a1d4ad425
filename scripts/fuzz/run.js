// Structure-aware fuzzing of everything that is read: npm run fuzz -- --minutes 10 [--seed 1] [--only wpk] [--inputs 1000] [--input FILE]
import { fork } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeInput, saveInput } from './input.js';
import { ALL_KINDS, KINDS, ROUND } from './kinds/index.js';

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

const [seed, seconds, step] = [
  Number(values.seed),
  Number(values.seconds),
  values.input ? 1 : Number(values.processes),
];
const MEMORY_BYTES = 300e6;
/** Files that are made and removed at this rate are better off in memory. */
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'weightpress-fuzz-'));
const started = Date.now();
const until = started + Number(values.minutes) * 60_000;
const counts = {};
const findings = [];

/** Runs one process after the other on every `step`-th input, each going on behind what ended the one before. */
async function series(index) {
  const total = {};
  for (let from = index; from !== undefined; ) from = await runChild(index, from, total);
}

function runChild(index, from, total) {
  const progress = join(scratch, `at-${index}`);
  const settings = {
    kinds: values.only,
    seed,
    from,
    step,
    count: Number(values.inputs) === Infinity ? Number.MAX_SAFE_INTEGER : Number(values.inputs),
    until,
    place: join(scratch, `place-${index}`),
    progress,
    input: values.input,
    memoryBytes: MEMORY_BYTES,
    seconds,
  };
  const child = fork(new URL('child.js', import.meta.url), [JSON.stringify(settings)], {
    execArgv: ['--max-old-space-size=600', '--expose-gc'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let done = false;
  let own = {};
  let [errors, hung] = ['', false];
  child.stderr.on('data', (data) => {
    errors = (errors + data).slice(-4000);
  });
  child.on('message', (message) => {
    own = message.counts ?? own;
    done ||= message.done === true;
    if (message.finding) add(message.finding);
  });
  const watch = watching(progress, () => {
    hung = true;
    child.kill('SIGKILL');
  });
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearInterval(watch);
      for (const [kind, n] of Object.entries(own)) total[kind] = (total[kind] ?? 0) + n;
      for (const [kind, n] of Object.entries(own)) counts[kind] = (counts[kind] ?? 0) + n;
      if (done) return resolve(undefined);
      const number = numberIn(progress) ?? from;
      const kind = values.only[number % values.only.length];
      const what = hung
        ? `does not end within ${2 * seconds} s`
        : `the process ends (${signal ?? code}): ${errors}`;
      add({ number, kind, what });
      resolve(values.input ? undefined : number + step);
    });
  });
}

/** Calls `onHang` when no new input was begun for twice the time that one may take: the first try may be another's fault. */
function watching(progress, onHang) {
  let [last, since] = [undefined, Date.now()];
  return setInterval(() => {
    const number = numberIn(progress);
    if (number !== last) [last, since] = [number, Date.now()];
    else if (number !== undefined && Date.now() - since > 2 * seconds * 1000) onHang();
  }, 200);
}

function numberIn(progress) {
  const text = existsSync(progress) ? readFileSync(progress, 'utf8').trim() : '';
  return text === '' ? undefined : Number(text);
}

function add(finding) {
  findings.push(finding);
  console.log(`\n${finding.kind}, input ${finding.number}: ${finding.what}`);
}

/** Keeps what was found; many inputs may have one cause, of which some are enough. */
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

await Promise.all(Array.from({ length: step }, (_, index) => series(index)));
const elapsed = (Date.now() - started) / 1000;
await saveFindings();
rmSync(scratch, { recursive: true, force: true });
const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
for (const [kind, n] of Object.entries(counts))
  console.log(`${kind.padEnd(12)} ${String(n).padStart(9)} inputs`);
console.log(
  `${'all'.padEnd(12)} ${String(total).padStart(9)} inputs, ${(total / elapsed).toFixed(0)} a second, seed ${seed}, ${findings.length} findings`,
);
process.exit(findings.length ? 1 : 0);
