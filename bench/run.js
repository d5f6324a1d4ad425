// Size, speed and memory of a whole model against zstd, xz and compressors of weights: the same bytes, from disk to disk, in one run.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytes, count, percent, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { benchKernels } from './kernels.js';
import { machine, measure, summary } from './measure.js';

const USAGE = `usage: npm run bench -- MODEL_DIR [--runs N] [--quick] [--python PYTHON]
  --runs N         medians of N runs (default 3)
  --quick          leaves out zstd -19 and xz, which take minutes per gigabyte
  --python PYTHON  adds ZipNN and BigSmall, as installed for this interpreter (pip install zipnn bigsmall)
Scratch files, about three times the model, go to a folder under TMPDIR.`;

const COMMAND = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const ZIPNN = fileURLToPath(new URL('zipnn-file.py', import.meta.url));

/** What this project is held to, on two cores. */
const TARGETS = { compress: 1.2, decompress: 1.5, verifyRate: 0.9e9, peakBytes: 300e6 };

/**
 * The compared programs. `compress` and `decompress` receive the model's folder, its weights, the packed file and the output
 * folder; `captured`: standard output is the result. Slow programs run once: only their size matters. Those with `python` are run if
 * there is an interpreter.
 */
const CONTENDERS = [
  {
    name: 'weightpress',
    compress: ({ model, packed }) => [process.execPath, COMMAND, 'compress', model, '-o', packed],
    decompress: ({ packed, unpacked }) => [process.execPath, COMMAND, 'decompress', packed, '-o', unpacked],
    verify: ({ packed }) => [process.execPath, COMMAND, 'verify', packed],
    check: ({ model, packed }) => [process.execPath, COMMAND, 'verify', packed, '--against', model],
  },
  {
    name: 'zstd -3 -T2',
    compress: ({ weights, packed }) => ['zstd', '-q', '-3', '-T2', weights, '-o', packed],
    decompress: ({ packed, unpacked }) => ['zstd', '-q', '-d', packed, '-o', unpacked],
  },
  {
    name: 'zstd -19 -T2',
    slow: true,
    compress: ({ weights, packed }) => ['zstd', '-q', '-19', '-T2', weights, '-o', packed],
    decompress: ({ packed, unpacked }) => ['zstd', '-q', '-d', packed, '-o', unpacked],
  },
  {
    name: 'xz -6 -T2',
    slow: true,
    captured: true,
    compress: ({ weights }) => ['xz', '-6', '-T2', '-k', '-c', weights],
    decompress: ({ packed }) => ['xz', '-d', '-T2', '-k', '-c', packed],
  },
];

const [OURS, BASELINE] = [CONTENDERS[0].name, CONTENDERS[1].name];

/** Compressors of weights, which a Python interpreter has installed. They decompress what they compressed, with the same check. */
const peers = (python) => [
  {
    name: 'ZipNN',
    compress: ({ weights, packed, type }) => [python, ZIPNN, 'compress', weights, packed, type],
    decompress: ({ packed, unpacked }) => [python, ZIPNN, 'decompress', packed, unpacked],
  },
  {
    name: 'BigSmall',
    ending: 'bs',
    compress: ({ weights, packed }) => [join(dirname(python), 'bigsmall'), 'compress', weights, '-o', packed],
    decompress: ({ packed, unpacked }) => [
      join(dirname(python), 'bigsmall'),
      'decompress',
      packed,
      '-o',
      `${unpacked}.safetensors`,
    ],
  },
];

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '3' },
      quick: { type: 'boolean', default: false },
      python: { type: 'string' },
    },
  });
  const runs = Number(values.runs);
  if (positionals.length !== 1 || !(Number.isInteger(runs) && runs > 0)) throw new RangeError(USAGE);
  const weights = join(positionals[0], 'model.safetensors');
  const size = statSync(weights, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw new RangeError(`${weights}: the bench needs a model in one file`);
  const contenders = [...CONTENDERS, ...(values.python === undefined ? [] : peers(values.python))];
  return {
    model: positionals[0],
    weights,
    size,
    runs,
    quick: values.quick,
    contenders,
    type: typeOf(weights),
  };
}

const TYPES = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' };

/** The name in Python of the element type of a file's first tensor. */
function typeOf(weights) {
  const file = openSync(weights, 'r');
  const prefix = Buffer.alloc(4096);
  readSync(file, prefix, 0, prefix.length, 0);
  closeSync(file);
  return TYPES[/"dtype":"(\w+)"/.exec(prefix.toString('latin1'))?.[1]];
}

/** Compresses and decompresses with one contender, and leaves nothing behind. */
async function race(contender, { model, weights, type }, folder, isFirst) {
  const packed = join(folder, `packed.${contender.ending ?? 'wpk'}`);
  const paths = { model, weights, type, packed, unpacked: join(folder, 'unpacked') };
  const step = (action, target) => {
    // Flush earlier writes, which would otherwise slow down this step.
    execFileSync('sync');
    return measure(contender[action](paths), contender.captured ? { stdout: target } : {});
  };
  mkdirSync(folder);
  try {
    const compress = await step('compress', paths.packed);
    const size = statSync(paths.packed).size;
    const decompress = await step('decompress', paths.unpacked);
    const sync = await measure(['sync']);
    const verify = contender.verify && (await step('verify'));
    if (contender.check && isFirst) await measure(contender.check(paths));
    return { compress, decompress, decompressAndSync: sum(decompress, sync), verify, size };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const sum = (a, b) => ({ ...a, seconds: a.seconds + b.seconds });

/** Runs all contenders in turn, repeatedly, so that changes of the machine's speed affect all of them equally. */
async function raceAll(request) {
  const folder = mkdtempSync(join(tmpdir(), 'weightpress-bench-'));
  const results = new Map();
  try {
    for (let run = 0; run < request.runs; run++)
      for (const contender of request.contenders.filter(
        ({ slow }) => !slow || (run === 0 && !request.quick),
      )) {
        process.stderr.write(`run ${run + 1} of ${request.runs}: ${contender.name}\n`);
        const result = await race(contender, request, join(folder, 'race'), run === 0);
        results.set(contender.name, [...(results.get(contender.name) ?? []), result]);
      }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return results;
}

function summarize(results) {
  return new Map(
    [...results].map(([name, runs]) => [
      name,
      {
        runs: runs.length,
        size: runs[0].size,
        compress: summary(runs.map((run) => run.compress)),
        decompress: summary(runs.map((run) => run.decompress)),
        decompressAndSync: summary(runs.map((run) => run.decompressAndSync)),
        verify: runs[0].verify && summary(runs.map((run) => run.verify)),
      },
    ]),
  );
}

function report(summaries, originalBytes) {
  const speed = ({ seconds, cpuSeconds, peakBytes }) => [
    `${seconds.toFixed(2)} s`,
    `${cpuSeconds.toFixed(2)} s`,
    `${Math.round(originalBytes / seconds / 1e6)} MB/s`,
    bytes(peakBytes),
  ];
  const rows = [...summaries].map(([name, { runs, size, compress, decompress }]) => [
    name,
    String(runs),
    count(size),
    percent(size / originalBytes),
    ...speed(compress),
    ...speed(decompress),
  ]);
  const columns = ['CPU', '', 'peak'];
  const head = ['', 'runs', 'bytes', 'share', 'compress', ...columns, 'decompress', ...columns];
  return `${table(head, rows)}\n\n${againstTargets(summaries, originalBytes)}`;
}

/** What was found beside the targets; ratios are of times, and below 1 is better for this project. */
function againstTargets(summaries, originalBytes) {
  const [ours, baseline] = [summaries.get(OURS), summaries.get(BASELINE)];
  const ratio = (action, other, time = 'seconds') => (ours[action][time] / other[action][time]).toFixed(2);
  const rate = (value) => `${(value / 1e9).toFixed(2)} GB/s`;
  const peak = Math.max(ours.compress.peakBytes, ours.decompress.peakBytes, ours.verify.peakBytes);
  const rows = ['compress', 'decompress'].map((action) => [
    `${action}, time over that of ${BASELINE}`,
    ratio(action, baseline),
    `at most ${TARGETS[action]}`,
  ]);
  rows.push([
    `decompress, until the disk has it all, over that of ${BASELINE}`,
    ratio('decompressAndSync', baseline),
    'this program syncs, others do not',
  ]);
  rows.push([
    'verify, of decoded bytes',
    rate(originalBytes / ours.verify.seconds),
    `at least ${rate(TARGETS.verifyRate)}`,
  ]);
  rows.push(['peak memory', bytes(peak), `at most ${bytes(TARGETS.peakBytes)}`]);
  for (const [name, other] of summaries)
    if (name !== OURS) {
      rows.push([`size over that of ${name}`, (ours.size / other.size).toFixed(3), 'below 1']);
      if (name !== BASELINE)
        for (const action of ['compress', 'decompress'])
          rows.push([`${action}, time over that of ${name}`, ratio(action, other), 'below 1']);
    }
  return table([OURS, 'found', 'target'], rows);
}

async function main() {
  const request = readArguments();
  const results = await raceAll(request);
  print(machine());
  print(`${request.weights}: ${count(request.size)} bytes; disk to disk, medians, largest peak\n`);
  print(report(summarize(results), request.size));
  await benchKernels();
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
}
