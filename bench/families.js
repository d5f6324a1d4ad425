// The families that can be run, compared with the reference implementation on tiny models: fixtures/families.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FAMILIES } from '../dist/architectures/registry.js';
import { Decoder } from '../dist/inference/decoder.js';
import { openProgram } from '../dist/inference/program.js';
import { Head, streamHidden } from '../dist/inference/stream.js';
import { loadRuntime } from '../dist/onnx/node/runtime.js';
import { openModel } from '../dist/open/open.js';
import { compress } from '../dist/operations/compress.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/families/', import.meta.url));
const runtime = await loadRuntime();
const temporary = mkdtempSync(join(tmpdir(), 'families-'));
const read = (...path) => readFileSync(join(FIXTURES, ...path));

/** Logits [windows, length, vocabulary]. */
async function logitsOf(model, windows) {
  const program = await openProgram(model);
  const hidden = await streamHidden(runtime, program, windows);
  const head = await Head.load(runtime, program);
  const size = hidden.length * head.vocabulary;
  const logits = new Float32Array(windows.length * size);
  for (let i = 0; i < windows.length; i++)
    await head.logits(hidden.window(i), logits.subarray(i * size, (i + 1) * size));
  await head.release();
  return logits;
}

/** Mean negative log-likelihood of all tokens but the first of each window, in nats. */
function nllOf(logits, windows) {
  const vocabulary = logits.length / windows.length / windows[0].length;
  let sum = 0;
  let count = 0;
  for (const [w, window] of windows.entries())
    for (let i = 1; i < window.length; i++, count++) {
      const start = (w * window.length + i - 1) * vocabulary;
      const row = Array.from(logits.subarray(start, start + vocabulary));
      const largest = Math.max(...row);
      sum += largest + Math.log(row.reduce((total, x) => total + Math.exp(x - largest), 0)) - row[window[i]];
    }
  return sum / count;
}

const largest = (a, b) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

/** Number of greedy tokens equal to the reference's. */
async function equalTokens(model, prompt, expected) {
  const decoder = await Decoder.load(runtime, model);
  let logits = await decoder.read(prompt);
  let equal = 0;
  for (const token of expected) {
    if (logits.indexOf(Math.max(...logits)) !== token) break;
    equal++;
    if (decoder.length === decoder.program.plan.context) break;
    logits = await decoder.read([token]);
  }
  await decoder.release();
  return equal;
}

async function measure(name) {
  const { input_ids: windows, greedy, nll } = JSON.parse(read(name, 'expected.json'));
  const expected = new Float32Array(Uint8Array.from(read(name, 'logits.f32')).buffer);
  const model = await openModel(join(FIXTURES, name));
  const path = join(temporary, `${name}.wpk`);
  await compress(model, path, { threads: 1 });
  const packed = await openModel(path);
  const [own, restored] = [await logitsOf(model, windows), await logitsOf(packed, windows)];
  const row = {
    name,
    family: FAMILIES.find(({ modelTypes }) => modelTypes.includes(model.config.model_type)).name,
    logits: largest(own, expected),
    packed: largest(restored, own),
    nll: nll === undefined ? undefined : Math.abs(nllOf(own, windows) - nll),
    greedy: greedy && `${await equalTokens(model, windows[0].slice(0, 8), greedy)} of ${greedy.length}`,
  };
  await Promise.all([model.close(), packed.close()]);
  return row;
}

const OTHERS = ['t5', 't5_gated', 'bart'];
const names = readdirSync(FIXTURES).filter(
  (name) => existsSync(join(FIXTURES, name, 'logits.f32')) && !OTHERS.includes(name),
);
const number = (value) => (value === undefined ? '' : value === 0 ? '0' : value.toExponential(1));
console.log(
  '| family | tiny model | logits | nats per token | greedy tokens | from .wpk |\n|---|---|---|---|---|---|',
);
for (const name of names) {
  const { family, logits, nll, greedy = '', packed } = await measure(name);
  console.log(`| ${family} | ${name} | ${number(logits)} | ${number(nll)} | ${greedy} | ${number(packed)} |`);
}
rmSync(temporary, { recursive: true });
