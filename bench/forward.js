// How fast and in how much memory a model runs: evaluating, against a plain matrix product of ONNX Runtime;
// generating, against reading every weight once at the memory's bandwidth.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { DTYPE_BYTES, elementCount } from '../dist/core/dtype.js';
import { evaluate, generate } from '../dist/evaluation/node/run.js';
import { buildProgram } from '../dist/inference/program.js';
import { Graph } from '../dist/onnx/graph.js';
import { loadRuntime } from '../dist/onnx/node/runtime.js';
import { openModel } from '../dist/open/open.js';
import { machine, median } from './measure.js';

const runtime = await loadRuntime();

const USAGE = `usage: node bench/forward.js MODEL [--tokens N] [--window N] [--generate N] [--json]`;
const ROWS = 2048;
const INNER = 2048;
const COLUMNS = 8192;
const THREADS = 2;

/** FLOP per second of [rows, inner] x [inner, columns], f32: the median of `times`. */
async function matrixProductRate(times = 7) {
  const g = new Graph('product');
  const product = g.matmul(g.input('a', [ROWS, INNER]), g.input('b', [INNER, COLUMNS]));
  g.output('c', product, [ROWS, COLUMNS]);
  const session = await runtime.session(g.encode());
  const floats = (rows, columns) =>
    runtime.floats(
      Float32Array.from({ length: rows * columns }, (_, i) => ((i * 37) % 101) / 101 - 0.5),
      [rows, columns],
    );
  const feeds = { a: floats(ROWS, INNER), b: floats(INNER, COLUMNS) };
  const into = { c: runtime.floats(new Float32Array(ROWS * COLUMNS), [ROWS, COLUMNS]) };
  const seconds = [];
  for (let i = 0; i < times; i++) {
    const started = performance.now();
    await session.run(feeds, into);
    seconds.push((performance.now() - started) / 1000);
  }
  await session.release();
  return (2 * ROWS * INNER * COLUMNS) / median(seconds);
}

/** Bytes per second that two threads read, each comparing two equal halves of 512 MiB: the median of `times`. */
async function readBandwidth(times = 5) {
  const source = `const { parentPort } = require('node:worker_threads');
    const half = Buffer.alloc(2 ** 28, 1);
    const other = Buffer.alloc(2 ** 28, 1);
    parentPort.on('message', () => {
      const started = process.hrtime.bigint();
      half.compare(other);
      parentPort.postMessage(Number(process.hrtime.bigint() - started) / 1e9);
    });
    parentPort.postMessage(0);`;
  const workers = Array.from({ length: THREADS }, () => new Worker(source, { eval: true }));
  const answers = () =>
    Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
  await answers();
  const rates = [];
  for (let i = 0; i < times; i++) {
    const answered = answers();
    for (const worker of workers) worker.postMessage('again');
    rates.push((THREADS * 2 ** 29) / Math.max(...(await answered)));
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  return median(rates);
}

/** FLOP per token: two for each weight of a matrix product, and attention over half the window. */
function flopPerToken({ layers, head, size }, window) {
  const matrices = [...layers, head.weights].flat().filter(({ tensor }) => tensor.shape.length === 2);
  const products = matrices.reduce((sum, { tensor }) => sum + 2 * elementCount(tensor.shape), 0);
  return products + layers.length * 4 * (window / 2) * size.heads * size.headSize;
}

/** Bytes of the weights that a token uses, as float32; one row of the embedding. */
function bytesPerToken({ layers, head }) {
  return [...layers, head.weights]
    .flat()
    .reduce((sum, { tensor }) => sum + elementCount(tensor.shape) * DTYPE_BYTES.F32, 0);
}

function tokensOf(count, vocabulary) {
  return Array.from({ length: count }, (_, i) => (i * 7919 + 13) % vocabulary);
}

async function measureModel(path, { tokens, window, generated }) {
  const model = await openModel(path);
  const program = buildProgram(model);
  const { vocabulary } = program.size;
  const before = await matrixProductRate();
  const started = performance.now();
  await evaluate(model, { tokens: tokensOf(tokens, vocabulary), window });
  const evaluateSeconds = (performance.now() - started) / 1000;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const productRate = median([before, await matrixProductRate()]);
  const evaluateRate = (flopPerToken(program, window) * tokens) / evaluateSeconds;

  const bandwidth = await readBandwidth();
  const prompt = tokensOf(16, vocabulary);
  const result = await generate(model, prompt, { maxTokens: generated + 1, endTokens: [] });
  await model.close();
  const generateRate = generated / result.tokenSeconds;
  const possibleRate = bandwidth / bytesPerToken(program);
  return {
    model: path,
    layers: program.size.layers,
    evaluate: {
      ...{ tokens, window, seconds: evaluateSeconds, peakBytes },
      ...{ flopPerSecond: evaluateRate, productFlopPerSecond: productRate },
      share: evaluateRate / productRate,
    },
    generate: {
      ...{ tokens: generated, tokensPerSecond: generateRate, bandwidthBytesPerSecond: bandwidth },
      ...{ possibleTokensPerSecond: possibleRate, share: generateRate / possibleRate },
    },
  };
}

function report({ model, layers, evaluate: e, generate: g }) {
  const giga = (value) => (value / 1e9).toFixed(1);
  const share = (value) => `${(100 * value).toFixed(0)} %`;
  return [
    `${model}, ${layers} layers`,
    `evaluate  ${e.tokens} tokens, windows of ${e.window}: ${e.seconds.toFixed(1)} s, ${giga(e.flopPerSecond)} GFLOP/s,` +
      ` ${share(e.share)} of a plain product's ${giga(e.productFlopPerSecond)}; peak ${giga(e.peakBytes)} GB`,
    `generate  ${g.tokens} tokens: ${g.tokensPerSecond.toFixed(2)} tokens/s, ${share(g.share)} of the ` +
      `${g.possibleTokensPerSecond.toFixed(2)} that ${giga(g.bandwidthBytesPerSecond)} GB/s allow`,
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      tokens: { type: 'string', default: '4096' },
      window: { type: 'string', default: '1024' },
      generate: { type: 'string', default: '32' },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 1) {
    console.error(USAGE);
    process.exit(2);
  }
  const result = await measureModel(positionals[0], {
    tokens: Number(values.tokens),
    window: Number(values.window),
    generated: Number(values.generate),
  });
  console.log(values.json ? JSON.stringify(result, null, 2) : `${machine()}\n\n${report(result)}`);
}
