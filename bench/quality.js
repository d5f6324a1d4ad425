// Size against divergence: weightpress at a range of budgets, and other quantizers on the same model, tokens and windows.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { count, percent, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { compress, evaluate, inspect, open } from '../dist/index.js';
import { machine } from './measure.js';
import { plot } from './plot.js';

const USAGE = `usage: node bench/quality.js [MODEL_DIR] [--calibrate TEXT] [--text TEXT] [--other TEXT] [--peers FILE] [--svg FILE] [--bits 4,3,2]
  MODEL_DIR        default fixtures/models/gpt-neo-small; its texts and peers are those of fixtures/
  --text, --other  what divergence is measured on: text like the calibration's, and unlike it
  --peers FILE     other quantizers' figures on this model and these texts, as fixtures/peers/ggml.json has them`;

const fixture = (name) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

const WINDOW = 256;
const BITS = '4.4,3.7,3.2,2.8,2.4,2.1,1.8,1.6,1.45';

function readArguments() {
  const option = { type: 'string' };
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      calibrate: { ...option, default: fixture('text/calibration.txt') },
      text: { ...option, default: fixture('text/evaluation.txt') },
      other: { ...option, default: fixture('text/speeches.txt') },
      peers: { ...option, default: fixture('peers/ggml.json') },
      svg: option,
      bits: { ...option, default: BITS },
    },
  });
  if (positionals.length > 1) throw new RangeError(USAGE);
  return {
    ...values,
    model: positionals[0] ?? fixture('models/gpt-neo-small'),
    bits: values.bits.split(',').map(Number),
  };
}

/** Measures a file at a budget: bytes of the weights including tables and headers, and the divergence on each text. */
async function point(model, request, bits, folder) {
  const output = join(folder, 'model.wpk');
  const calibration = {
    text: readFileSync(request.calibrate, 'utf8'),
    name: 'held out',
    statisticsPath: join(folder, 'statistics'),
  };
  await compress(model, output, { budget: { bits }, calibration, force: true });
  const { fileBytesWithoutSideFiles: bytes } = await inspect(output);
  const compressed = await open(output);
  const measures = [];
  for (const path of [request.text, request.other].filter(Boolean)) {
    const text = readFileSync(path, 'utf8');
    measures.push(await evaluate(compressed, { text, window: WINDOW, against: model }));
  }
  await compressed.close();
  const [first, second] = measures;
  return {
    bits,
    bytes,
    kl: first.kl.mean,
    p99: first.kl.p99,
    top1: first.top1.agreement,
    perplexity: first.perplexity,
    klOther: second?.kl.mean,
  };
}

/** Bytes at a divergence, on the line of log KL over bytes between the two points around it; undefined outside. */
function bytesAt(points, kl, key) {
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    if (a[key] > kl || b[key] < kl) continue;
    const share = Math.log(kl / a[key]) / Math.log(b[key] / a[key]);
    return a.bytes + share * (b.bytes - a.bytes);
  }
}

function pointTable(points) {
  const rows = points.map(({ bytes, bits, kl, p99, top1, perplexity, klOther }) =>
    [
      bits,
      count(bytes),
      kl.toPrecision(4),
      p99.toPrecision(3),
      percent(top1),
      perplexity.toFixed(3),
      klOther?.toPrecision(4) ?? '',
    ].map(String),
  );
  return table(
    ['bits', 'bytes', 'KL', '99th percentile', 'same top 1', 'perplexity', 'KL, other text'],
    rows,
  );
}

function peerTable(points, types) {
  const share = (kl, key, bytes) => {
    const ours = kl && bytesAt(points, kl, key);
    return ours ? [count(Math.round(ours)), percent(ours / bytes)] : ['', ''];
  };
  const rows = types.map(({ type, bytes, kl, klSpeeches }) => [
    type,
    count(bytes),
    kl.toPrecision(4),
    ...share(kl, 'kl', bytes),
    klSpeeches?.toPrecision(4) ?? '',
    ...share(klSpeeches, 'klOther', bytes),
  ]);
  return table(
    ['type', 'bytes', 'KL', 'weightpress', 'share', 'KL, other text', 'weightpress', 'share'],
    rows,
  );
}

async function main() {
  const request = readArguments();
  const folder = mkdtempSync(join(tmpdir(), 'weightpress-quality-'));
  const model = await open(request.model);
  try {
    const points = [];
    for (const bits of request.bits) {
      points.push(await point(model, request, bits, folder));
      process.stderr.write(`${JSON.stringify(points.at(-1))}\n`);
    }
    points.sort((a, b) => a.kl - b.kl);
    print(`${machine()}\n`);
    print(pointTable(points));
    const peers =
      request.peers && existsSync(request.peers) ? JSON.parse(readFileSync(request.peers, 'utf8')).types : [];
    if (peers.length) print(`\n${peerTable(points, peers)}`);
    if (request.svg) {
      writeFileSync(request.svg, plot(points, peers));
      print(`\n${request.svg}: ${statSync(request.svg).size} bytes`);
    }
  } finally {
    await model.close();
    rmSync(folder, { recursive: true });
  }
}

await main();
