import {
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { loadInput, makeInput } from './input.js';
import { ALL_KINDS } from './kinds/index.js';

// Tries inputs one after another. The current input's number is in a file, in case the process dies or hangs.

const { kinds, seed, from, step, count, until, place, progress, input, memoryBytes, seconds } = JSON.parse(
  process.argv[2],
);
const at = openSync(progress, 'w');
const counts = {};
let current = { number: -1 };

function report(what) {
  process.send({ finding: { number: current.number, kind: current.kind, what } });
}

process.on('unhandledRejection', (error) => report(described(error)));
process.on('uncaughtException', (error) => report(described(error)));

const described = (error) => (error instanceof Error ? (error.stack ?? error.message) : String(error));

/** Returns the peak resident size since the last reset if the system provides it; else the current one. */
function peakBytes() {
  try {
    return Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
  } catch {
    return process.memoryUsage.rss();
  }
}

function resetPeak() {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {} // then it is what it was at most
}

/** Returns the open regular files, if the system provides them. */
function openFiles() {
  try {
    const targets = readdirSync('/proc/self/fd').map(targetOf);
    return targets.filter((target) => target.startsWith(place));
  } catch {
    return [];
  }
}

function targetOf(descriptor) {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return ''; // that of the list itself
  }
}

async function tryInput(kind, files) {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  const started = performance.now();
  try {
    await ALL_KINDS[kind].check(files, place);
    await new Promise(setImmediate); // lets unhandled rejections surface
    const left = openFiles();
    if (left.length) report(`leaves a file open: ${left}`);
  } catch (error) {
    report(described(error));
  }
  return (performance.now() - started) / 1000;
}

/** Exceeding memory or time counts only if it happens twice, because of other processes and garbage collection. */
async function one(kind, files) {
  let took = 0;
  let grown = 0;
  for (let again = 0; again < 2; again++) {
    resetPeak();
    took = await tryInput(kind, files);
    grown = peakBytes() - base;
    if (took <= seconds && grown <= memoryBytes) return;
    globalThis.gc?.();
  }
  if (took > seconds) report(`takes ${took.toFixed(1)} s`);
  if (grown > memoryBytes) report(`takes ${Math.round(grown / 1e6)} MB`);
}

let base = Number.POSITIVE_INFINITY;

async function warmUp() {
  const kind = kinds.find((name) => name !== 'faulty');
  current = { number: -1, kind };
  for (let i = 0; kind && i < 20; i++) await tryInput(kind, (await makeInput([kind], 0, i)).files);
  globalThis.gc?.();
  base = process.memoryUsage.rss();
}

async function all() {
  for (let number = from; number < count && Date.now() < until; number += step) {
    writeSync(at, String(number).padEnd(20), 0);
    current = { number, kind: kinds[number % kinds.length] };
    try {
      const { kind, files } = await makeInput(kinds, seed, number);
      await one(kind, files);
      counts[kind] = (counts[kind] ?? 0) + 1;
    } catch (error) {
      report(`cannot be made: ${described(error)}`);
    }
    if (number % 97 === 0) process.send({ counts });
  }
}

if (input) {
  const { kind, files } = loadInput(input);
  current = { number: 0, kind };
  base = process.memoryUsage.rss();
  writeSync(at, '0'.padEnd(20), 0);
  await one(kind, files);
  counts[kind] = 1;
} else {
  if (from < count) await warmUp();
  await all();
}
process.send({ counts, done: true }, () => process.exit(0));
