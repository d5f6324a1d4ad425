// Latency of reading 64 kB at random: of a .wpk, lossless and lossy, beside the .safetensors file that it was made of.
//   node bench/random.js [--reads N]
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { table } from '../dist/cli/format.js';
import { compress, open } from '../dist/index.js';
import { writeHeader } from '../dist/models/safetensors/writer.js';
import { drawValues } from './kernels.js';
import { machine } from './measure.js';
import { DTYPES } from './synthetic/floats.js';

const { values: options } = parseArgs({ options: { reads: { type: 'string', default: '400' } } });
const READS = Number(options.reads);
const WARM_UP = 40;
const SLICE_BYTES = 2 ** 16;
const SHAPE = [8192, 2048];

/** Writes a .safetensors file of one matrix. */
function write(path, dtype, shape, elements) {
  const { headerBytes } = writeHeader([{ name: 'w', dtype, shape, lengthBytes: elements.length }]);
  writeFileSync(path, Buffer.concat([headerBytes, elements]));
}

/** Returns median and 95th percentile of the milliseconds that a read takes, as a cell; `next` returns where the read begins. */
async function timed(path, next, keepsBlocks = true) {
  const model = await open(path);
  if (!keepsBlocks) model.container.blocks.close();
  const [tensor] = model.tensors;
  const width = tensor.lengthBytes / (tensor.shape[0] * tensor.shape[1]);
  const count = SLICE_BYTES / width;
  const milliseconds = [];
  for (let i = 0; i < WARM_UP + READS; i++) {
    const start = next(i, tensor.lengthBytes / width - count, count);
    const started = performance.now();
    await tensor.floats({ start, end: start + count });
    if (i >= WARM_UP) milliseconds.push(performance.now() - started);
  }
  await model.close();
  milliseconds.sort((a, b) => a - b);
  return [0.5, 0.95].map((part) => milliseconds[Math.floor(part * READS)].toFixed(2)).join(' / ');
}

const anywhere = (_, last) => Math.floor(Math.random() * last);
const neighbors = (i, last, count) => (i * count) % last;

const place = mkdtempSync(join(tmpdir(), 'weightpress-random-'));
try {
  console.log(machine());
  const rows = [];
  for (const { name, narrow } of [DTYPES.bf16, DTYPES.f32]) {
    const [plain, wpk] = [join(place, `${name}.safetensors`), join(place, `${name}.wpk`)];
    write(plain, name, SHAPE, narrow(await drawValues(SHAPE)));
    await compress(plain, wpk);
    rows.push([`${name} .safetensors`, await timed(plain, anywhere), await timed(plain, neighbors), '']);
    const [random, near] = [await timed(wpk, anywhere), await timed(wpk, neighbors)];
    rows.push([`${name} .wpk, lossless`, random, near, await timed(wpk, anywhere, false)]);
  }
  const wpk = join(place, 'lossy.wpk');
  await compress(join(place, 'BF16.safetensors'), wpk, { budget: { bits: 3 }, calibration: false });
  const [random, near] = [await timed(wpk, anywhere), await timed(wpk, neighbors)];
  rows.push(['BF16 .wpk, 3 bits', random, near, await timed(wpk, anywhere, false)]);
  console.log(
    `\nMilliseconds for 64 kB as floats, median / 95th percentile of ${READS} reads of an open file\n`,
  );
  console.log(table(['', 'at random', 'one after another', 'no block kept'], rows));
} finally {
  rmSync(place, { recursive: true });
}
