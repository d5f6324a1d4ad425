// Types of llama.cpp, chosen by weightpress and by llama.cpp's own quantizers: the same bytes, tokens and windows.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { count, percent, table } from '../dist/cli/format.js';
import { print } from '../dist/cli/terminal.js';
import { evaluate, open, quantizeGguf } from '../dist/index.js';
import { machine } from './measure.js';

const USAGE = `usage: node bench/ggml.js [--only Q4_K_M,Q2_K] [--statistics FILE] [--no-calibration]
  on fixtures/models/gpt-neo-small, against fixtures/peers/ggml.json`;

const fixture = (name) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const WINDOW = 256;
const TEXTS = { kl: 'evaluation', klSpeeches: 'speeches' };

/** Tensors in which the peers' mixtures differ from those of llama.cpp v0.4.0, so that bytes are the same: fixtures/peers/README.md. */
const RULES = {
  Q4_K_S: [[/attn_v/, 'Q4_K']],
  Q3_K_M: [
    [/attn_v|attn_output|ffn_down/, 'Q3_K'],
    [/blk\.[25]\.(attn_v|ffn_down)/, 'Q4_K'],
  ],
  Q2_K: [
    [/attn_v|attn_output|ffn_down/, 'Q2_K'],
    [/blk\.[25]\.(attn_v|ffn_down)/, 'Q3_K'],
  ],
};

const { types: peers } = JSON.parse(readFileSync(fixture('peers/ggml.json'), 'utf8'));
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    statistics: { type: 'string' },
    'no-calibration': { type: 'boolean' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  print(USAGE);
  process.exit(0);
}

const folder = mkdtempSync(join(tmpdir(), 'weightpress-ggml-'));
const calibration = {
  text: readFileSync(fixture('text/calibration.txt'), 'utf8'),
  name: 'held out of calibration.txt',
  statisticsPath: values.statistics ?? join(folder, 'statistics'),
};
const model = await open(fixture('models/gpt-neo-small'));

/** Bytes as the peers count them: quantized matrices, and 2 bytes per remaining parameter. */
function bytesOf(tensors) {
  return tensors.reduce((sum, { type, bytes, weights }) => sum + (type === 'F32' ? 2 * weights : bytes), 0);
}

async function measure(to, rules) {
  const path = join(folder, 'model.gguf');
  const options = { to, types: rules, names: 'checkpoint', force: true };
  const started = performance.now();
  const { tensors } = await quantizeGguf(model, path, {
    ...options,
    calibration: values['no-calibration'] ? false : calibration,
  });
  const seconds = (performance.now() - started) / 1000;
  const quantized = await open(path);
  const found = { bytes: bytesOf(tensors), seconds };
  for (const [key, name] of Object.entries(TEXTS)) {
    const text = readFileSync(fixture(`text/${name}.txt`), 'utf8');
    const { kl, perplexity, windows } = await evaluate(quantized, { text, window: WINDOW, against: model });
    found[key] = kl.mean;
    found[`${key} perplexity`] = perplexity;
    found[`${key} windows`] = windows;
  }
  await quantized.close();
  process.stderr.write(`${JSON.stringify({ to, ...found })}\n`);
  return found;
}

const share = (ours, theirs) => (theirs ? percent(ours / theirs) : '');
const number = (kl) => kl?.toPrecision(4) ?? '';

try {
  const rows = [];
  const wanted = values.only?.split(',');
  for (const peer of peers) {
    if (peer.type.startsWith('IQ2') || peer.type.startsWith('IQ3')) continue; // lattices of eight weights: not written
    if (wanted && !wanted.includes(peer.type)) continue;
    const rules = (RULES[peer.type] ?? []).map(([pattern, type]) => ({ pattern, type }));
    const ours = await measure(peer.type, rules);
    const bytes =
      ours.bytes === peer.bytes ? count(peer.bytes) : `${count(peer.bytes)}, here ${count(ours.bytes)}`;
    rows.push([
      ...[peer.type, bytes, number(peer.kl), number(ours.kl), share(ours.kl, peer.kl)],
      ...[number(peer.klSpeeches), number(ours.klSpeeches), share(ours.klSpeeches, peer.klSpeeches)],
      ours.seconds.toFixed(1),
    ]);
  }
  const peer = peers.find(({ type }) => type === 'Q4_K_M');
  if (!values['no-calibration'] && (!wanted || wanted.includes('--kl'))) {
    const ours = await measure({ kl: peer.kl }, []);
    rows.push([
      ...[`--kl ${peer.kl}`, `${count(ours.bytes)}, ${share(ours.bytes, peer.bytes)} of Q4_K_M's`],
      ...[number(peer.kl), number(ours.kl), share(ours.kl, peer.kl)],
      ...[number(peer.klSpeeches), number(ours.klSpeeches), share(ours.klSpeeches, peer.klSpeeches)],
      ours.seconds.toFixed(1),
    ]);
  }
  print(`${machine()}\n`);
  print(
    table(
      ['type', 'bytes', 'KL llama.cpp', 'KL here', 'share', 'speeches llama.cpp', 'here', 'share', 'seconds'],
      rows,
    ),
  );
} finally {
  await model.close();
  rmSync(folder, { recursive: true, force: true });
}
