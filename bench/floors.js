// Lossless sizes of quantized weights, training checkpoints and integers, beside their floors and other compressors.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { compress } from '../dist/index.js';
import { writeHeader } from '../dist/models/safetensors/writer.js';
import { machine } from './measure.js';
import { floorBits } from './synthetic/floors.js';
import { PACKED, STRUCTURE } from './synthetic/packed.js';

const USAGE = `usage: node bench/floors.js [--only REGEX] [--rows 2048] [--columns 2048] [--python PYTHON]
  PYTHON has zipnn and bigsmall; without it their columns are empty. Needs zstd and xz.`;
const PEERS = fileURLToPath(new URL('floor-peers.py', import.meta.url));

/** Writes tensors as a safetensors file, and returns its length. */
function writeTensors(path, tensors) {
  const declared = tensors.map(({ name, dtype, shape, data }) => ({
    name,
    dtype,
    shape,
    lengthBytes: data.length,
  }));
  const { headerBytes, tensors: placed, fileBytes } = writeHeader(declared, { format: 'pt' });
  const bytes = new Uint8Array(fileBytes);
  bytes.set(headerBytes);
  for (const { name, start } of placed) bytes.set(tensors.find((tensor) => tensor.name === name).data, start);
  writeFileSync(path, bytes);
  return fileBytes;
}

async function sizes(folder, name, tensors, python) {
  const path = join(folder, 'model.safetensors');
  const whole = writeTensors(path, tensors);
  await compress(path, join(folder, 'model.wpk'), { force: true });
  const run = (program, ...args) =>
    execFileSync(program, args, { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 30 });
  const floor = tensors.reduce((sum, tensor) => sum + floorBits(tensor, STRUCTURE[name]) / 8, 0);
  const peers = python ? JSON.parse(run(python, PEERS, path)) : {};
  const bytes = [
    floor,
    statSync(join(folder, 'model.wpk')).size,
    run('zstd', '-19', '-q', '-c', path).length,
    run('xz', '-6', '-c', path).length,
    peers.zipnn,
    peers.bigsmall,
  ];
  return bytes.map((size) => (size ? ((100 * size) / whole).toFixed(2) : size === 0 ? '0.00' : '–'));
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    rows: { type: 'string', default: '2048' },
    columns: { type: 'string', default: '2048' },
    python: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (values.help) print(USAGE);
else {
  const folder = mkdtempSync(join(tmpdir(), 'weightpress-floors-'));
  const rows = [];
  try {
    for (const [name, make] of Object.entries(PACKED))
      if (new RegExp(values.only).test(name)) {
        const tensors = make(Number(values.rows), Number(values.columns));
        rows.push([name, ...(await sizes(folder, name, tensors, values.python))]);
      }
  } finally {
    rmSync(folder, { recursive: true });
  }
  print(`${machine()}\n`);
  print(table(['% of the bytes', 'floor', 'weightpress', 'zstd -19', 'xz -6', 'ZipNN', 'BigSmall'], rows));
}
