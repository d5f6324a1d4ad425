// Fine-tunes as differences from their base: sizes beside the entropy and XOR with zstd, and the speed of decompressing beside a file without a base.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { percent, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { normalNumbers } from '../dist/core/random.js';
import { compress, decompress, inspect, open } from '../dist/index.js';
import { writeHeader } from '../dist/models/safetensors/writer.js';
import { machine, median } from './measure.js';

const USAGE = `usage: node bench/base.js [FINE_TUNE BASE] [--weights N] [--runs N]
  FINE_TUNE BASE  a pair of models, both in bfloat16 with the same tensors
  --weights N     weights of the synthetic pairs (default 4194304)
  --runs N        medians of N runs (default 3)`;

/** Standard deviations of the differences, over that of the weights. */
const RATIOS = [1e-4, 1e-3, 1e-2, 1e-1];
const SIGMA = 0.02;
const COLUMNS = 1024;
const EXPONENT = 7;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { weights: { type: 'string', default: '4194304' }, runs: { type: 'string', default: '3' } },
});
const [weights, runs] = [Number(values.weights), Number(values.runs)];
if (![0, 2].includes(positionals.length) || !(weights % COLUMNS === 0 && weights > 0) || !(runs > 0))
  throw new RangeError(USAGE);

/** Rounds to bfloat16, ties to even. */
function bf16(floats) {
  const words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  return Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

/** The place of a bfloat16 in the order of its values. */
const ordinal = (pattern) => (pattern & 0x8000 ? ~pattern & 0xffff : pattern | 0x8000);

/** Bits of the differences of ordinals at their entropy, given the base's exponent, without tables. */
function entropyBits(fineTune, base) {
  const counts = new Map();
  const totals = new Map();
  for (let i = 0; i < base.length; i++) {
    const exponent = (base[i] >> EXPONENT) & 255;
    const key = exponent * 2 ** 20 + (ordinal(fineTune[i]) - ordinal(base[i]) + 2 ** 17);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    totals.set(exponent, (totals.get(exponent) ?? 0) + 1);
  }
  let bits = 0;
  for (const [key, n] of counts) bits += n * Math.log2(totals.get(Math.floor(key / 2 ** 20)) / n);
  return bits;
}

/** Bytes of XOR in byte planes and zstd -3, as BitX does (arXiv 2505.06252); NaN without the command zstd. */
function xorBytes(fineTune, base) {
  const planes = new Uint8Array(2 * base.length);
  for (let i = 0; i < base.length; i++) {
    const bits = fineTune[i] ^ base[i];
    planes[i] = bits >> 8;
    planes[base.length + i] = bits;
  }
  const { stdout, status } = spawnSync('zstd', ['-3', '-q', '-c'], { input: planes, maxBuffer: 2 ** 31 });
  return status === 0 ? stdout.length : Number.NaN;
}

async function patternsOf(model) {
  const all = [];
  for (const tensor of model.tensors) {
    if (tensor.dtype !== 'BF16') throw new RangeError(`${tensor.name} is ${tensor.dtype}, not BF16`);
    const bytes = await tensor.bytes();
    all.push(new Uint16Array(bytes.slice().buffer));
  }
  return all;
}

function writeModel(folder, patterns) {
  mkdirSync(folder);
  const shape = [patterns.length / COLUMNS, COLUMNS];
  const tensor = { name: 'weight', dtype: 'BF16', shape, lengthBytes: patterns.byteLength };
  const { headerBytes } = writeHeader([tensor], {});
  writeFileSync(
    join(folder, 'model.safetensors'),
    Buffer.concat([headerBytes, Buffer.from(patterns.buffer)]),
  );
}

async function seconds(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** Compresses a pair, and decompresses it and the fine-tune alone in turn. */
async function measurePair(name, fineTune, base, folder) {
  const [packed, alone] = [join(folder, 'pair.wpk'), join(folder, 'alone.wpk')];
  await compress(fineTune, packed, { base });
  await compress(fineTune, alone);
  const times = { pair: [], alone: [] };
  for (let run = 0; run < runs; run++)
    for (const [kind, file, options] of [
      ['alone', alone, {}],
      ['pair', packed, { base }],
    ]) {
      const out = join(folder, 'out');
      times[kind].push(await seconds(() => decompress(file, out, options)));
      rmSync(out, { recursive: true });
    }
  const models = [await open(fineTune), await open(base)];
  const [own, known] = [await patternsOf(models[0]), await patternsOf(models[1])];
  await Promise.all(models.map((model) => model.close()));
  const bytes = own.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const sum = (of) => own.reduce((total, patterns, i) => total + of(patterns, known[i]), 0);
  const { fileBytesWithoutSideFiles } = await inspect(packed);
  const plain = (await inspect(alone)).fileBytesWithoutSideFiles;
  for (const file of [packed, alone]) rmSync(file);
  const share = (part) => (Number.isNaN(part) ? '' : percent(part / bytes));
  const speed = (kind) => `${Math.round(bytes / median(times[kind]) / 1e6)} MB/s`;
  return [
    name,
    share(sum(entropyBits) / 8),
    share(fileBytesWithoutSideFiles),
    share(sum(xorBytes)),
    share(plain),
    speed('pair'),
    speed('alone'),
    (median(times.alone) / median(times.pair)).toFixed(2),
  ];
}

/** A model of Gaussian weights, and the same with Gaussian differences; both are rounded to bfloat16. */
function synthesize(ratio, folder) {
  const [own, difference] = [1, 2].map((seed) => Float32Array.from({ length: weights }, normalNumbers(seed)));
  const base = own.map((value) => value * SIGMA);
  const fineTune = base.map((value, i) => value + difference[i] * SIGMA * ratio);
  writeModel(join(folder, 'base'), bf16(base));
  writeModel(join(folder, 'fine-tune'), bf16(fineTune));
  return [join(folder, 'fine-tune'), join(folder, 'base')];
}

const rows = [];
const folder = mkdtempSync(join(tmpdir(), 'weightpress-base-'));
try {
  if (positionals.length) rows.push(await measurePair('the pair', ...positionals, folder));
  for (const ratio of RATIOS) {
    const own = join(folder, String(ratio));
    mkdirSync(own);
    rows.push(await measurePair(`Gaussian, ${ratio}`, ...synthesize(ratio, own), folder));
    rmSync(own, { recursive: true });
  }
} finally {
  rmSync(folder, { recursive: true });
}
print(`${machine()}\n`);
const head = ['', 'entropy', 'with the base', 'XOR, zstd -3', 'alone', 'decompress', 'alone', 'ratio'];
print(table(head, rows));
