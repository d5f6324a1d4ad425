// Sizes of lossless files: a model in bf16, f16 and f32, without side files, and the bound from its entropy.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { count, percent, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { DTYPE_BYTES } from '../dist/core/dtype.js';
import { compress, exportSafetensors, inspect, open } from '../dist/index.js';
import { machine } from './measure.js';

const USAGE = 'usage: node bench/sizes.js [MODEL_DIR]   (default: fixtures/models/gpt-neo-small)';
const SMALL = fileURLToPath(new URL('../fixtures/models/gpt-neo-small', import.meta.url));

/** Bits of the exponent, and of the mantissa in the top 16 bits. */
const FORMATS = { BF16: [8, 7], F16: [5, 10], F32: [8, 7] };
/** Mantissa bits that are coded with the exponent where a tensor is large. */
const MANTISSA_BITS = 3;

/**
 * Returns the bytes of a model's tensors if exponents, with the top `mantissaBits`, took their order-0 entropy per tensor, without
 * tables, and the other bits were stored raw.
 */
async function entropyBytes(model, mantissaBits) {
  let bits = 0;
  for (const { name, dtype, lengthBytes } of model.tensors) {
    const width = DTYPE_BYTES[dtype];
    if (!(dtype in FORMATS)) {
      bits += 8 * lengthBytes;
      continue;
    }
    const [exponentBits, headMantissa] = FORMATS[dtype];
    const bytes = await model.readTensor(name);
    const counts = new Float64Array(2 ** (exponentBits + mantissaBits));
    for (let at = width - 2; at < bytes.length; at += width) {
      const head = (bytes[at] | (bytes[at + 1] << 8)) & 0x7fff;
      counts[head >> (headMantissa - mantissaBits)]++;
    }
    const elements = lengthBytes / width;
    for (const n of counts) if (n) bits += n * Math.log2(elements / n);
    bits += elements * (8 * width - exponentBits - mantissaBits);
  }
  return bits / 8;
}

async function row(dtype, from, folder) {
  const [path, file] = [join(folder, dtype), join(folder, `${dtype}.wpk`)];
  await exportSafetensors(from, path, { dtype });
  await compress(path, file);
  const { fileBytesWithoutSideFiles: bytes, tensorBytes } = await inspect(file);
  const model = await open(path);
  const [top, exponent] = [await entropyBytes(model, MANTISSA_BITS), await entropyBytes(model, 0)];
  await model.close();
  const share = (part) => percent(part / tensorBytes);
  return [dtype, count(tensorBytes), count(bytes), share(bytes), share(top), share(exponent)];
}

const [path = SMALL, ...rest] = process.argv.slice(2);
if (rest.length || path.startsWith('-')) throw new RangeError(USAGE);
const folder = mkdtempSync(join(tmpdir(), 'weightpress-sizes-'));
const model = await open(path);
try {
  const rows = [];
  for (const dtype of ['BF16', 'F16', 'F32']) rows.push(await row(dtype, model, folder));
  print(`${machine()}\n`);
  const head = [
    '',
    'bytes of tensors',
    'bytes',
    'share',
    'entropy of exponent and top mantissa',
    'of exponent',
  ];
  print(table(head, rows));
} finally {
  await model.close();
  rmSync(folder, { recursive: true });
}
