// Size, speed and memory of a whole model against zstd and xz: the same bytes, from disk to disk, in one run.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bytes, count, percent, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { benchKernels } from './kernels.js';
import { machine, measure, summary } from './measure.js';

const USAGE = `usage: npm run bench -- MODEL_DIR [--runs N] [--quick]
  --runs N  medians of N runs (default 3)
  --quick   leaves out zstd -19 and xz, which take minutes per gigabyte
Scratch files, about three times the model, go to a folder under TMPDIR.`;

const COMMAND = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/**
 * The compared programs. `compress` and `decompress` receive the model's folder, its weights, the packed file and the output
 * folder; `captured`: standard output is the result. Slow programs run once: only their size matters.
 */
const CONTENDERS = [
  {
    name: 'weightpress',
    compress: ({ model, packed }) => [process.execPath, COMMAND, 'compress', model, '-o', packed],
    decompress: ({ packed, unpacked }) => [process.execPath, COMMAND, 'decompress', packed, '-o', unpacked],
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

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { runs: { type: 'string', default: '3' }, quick: { type: 'boolean', default: false } },
  });
  const runs = Number(values.runs);
  if (positionals.length !== 1 || !(Number.isInteger(runs) && runs > 0)) throw new RangeError(USAGE);
  const weights = join(positionals[0], 'model.safetensors');
  const size = statSync(weights, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw new RangeError(`${weights}: the bench needs a model in one file`);
  return { model: positionals[0], weights, size, runs, quick: values.quick };
}

/** Compresses and decompresses with one contender, and leaves nothing behind. */
async function race(contender, { model, weights }, folder) {
  const paths = { model, weights, packed: join(folder, 'packed.wpk'), unpacked: join(folder, 'unpacked') };
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
    if (contender.check) await measure(contender.check(paths));
    return { compress, decompress, size };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs all contenders in turn, repeatedly, so that changes of the machine's speed affect all of them equally. */
async function raceAll(request) {
  const folder = mkdtempSync(join(tmpdir(), 'weightpress-bench-'));
  const results = new Map();
  try {
    for (let run = 0; run < request.runs; run++)
      for (const contender of CONTENDERS.filter(({ slow }) => !slow || (run === 0 && !request.quick))) {
        process.stderr.write(`run ${run + 1} of ${request.runs}: ${contender.name}\n`);
        const result = await race(contender, request, join(folder, 'race'));
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
      },
    ]),
  );
}

function report(summaries, originalBytes) {
  const speed = ({ seconds, peakBytes }) => [
    `${seconds.toFixed(2)} s`,
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
  const head = ['', 'runs', 'bytes', 'share', 'compress', '', 'peak', 'decompress', '', 'peak'];
  const [ours, baseline] = [summaries.get(OURS), summaries.get(BASELINE)];
  const ratio = (value) => value.toFixed(3);
  return `${table(head, rows)}

${OURS} against ${BASELINE} (below 1 is better for ${OURS})
  size             ${ratio(ours.size / baseline.size)}
  compress, time   ${ratio(ours.compress.seconds / baseline.compress.seconds)}
  decompress, time ${ratio(ours.decompress.seconds / baseline.decompress.seconds)}`;
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
