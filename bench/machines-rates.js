// The speeds that src/machines/plan/rates.ts has: one thread, medians of processor time, because the machine may be shared.
// node bench/machines-rates.js MODEL_DIR [NAME ...]; for example of bench/synthesize.js gpt-neo-1.3b --layers 1 --dtype bf16
import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { headGraph } from '../dist/architectures/forward.js';
import { blocksOf, encodeBlock } from '../dist/codecs/lossless/block.js';
import { CONTEXTS, ROWS_PER_BLOCK } from '../dist/codecs/trellis/levels.js';
import { initialPrices } from '../dist/codecs/trellis/prices.js';
import { writeTables } from '../dist/codecs/trellis/tables.js';
import { decodeRows } from '../dist/codecs/trellis/tensor.js';
import { DTYPE_BYTES, elementCount } from '../dist/core/dtype.js';
import { normalNumbers, randomNumbers } from '../dist/core/random.js';
import { Comparison } from '../dist/evaluation/compare.js';
import { divergence, predict } from '../dist/evaluation/logits.js';
import { loadWeights, positionFeeds } from '../dist/inference/block-inputs.js';
import { buildProgram, LayerGraphs } from '../dist/inference/program.js';
import { backward } from '../dist/onnx/gradient.js';
import { Graph } from '../dist/onnx/graph.js';
import { loadRuntime } from '../dist/onnx/node/runtime.js';
import { openModel } from '../dist/open/open.js';
import { sampleGradients } from '../dist/quantization/calibration/label-gradients.js';
import { matmulSitesOf } from '../dist/quantization/calibration/matmul-sites.js';
import { QuantizationJobs } from '../dist/quantization/jobs.js';
import { factorize } from '../dist/quantization/quantizer/factor.js';
import { Products } from '../dist/quantization/quantizer/products.js';
import { losslessKernels } from '../dist/wasm/lossless.js';
import { machine, median } from './measure.js';

const RUNS = 5;
const [TOKENS, WINDOW] = [1024, 512];
const SEED = 1;
/** Makes moments of few vectors regular. */
const DAMPING = 1;

/** Median seconds of processor time, of all threads, after one run to warm up. */
async function processorSeconds(run, runs = RUNS) {
  await run();
  const seconds = [];
  for (let i = 0; i < runs; i++) {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    seconds.push((user + system) / 1e6);
  }
  return median(seconds);
}

function normals(count, scale = 1) {
  const next = normalNumbers(SEED);
  return Float32Array.from({ length: count }, () => scale * next());
}

/** Prints a rate: seconds per unit, and units per second. */
function report(name, unit, seconds, units, note) {
  const rate = seconds / units;
  console.log(
    `${name.padEnd(9)} ${rate.toPrecision(3)} s per ${unit}, ${(1 / rate).toPrecision(3)} per s (${note})`,
  );
}

/** Adds to a forward graph what a job of windows writes: gradients, and inputs of matrices. */
function addTaps(graph, output, skipped) {
  const sites = matmulSitesOf(graph).filter(({ kind }) => kind === 'linear');
  const inner = sites.filter(({ weight }) => weight !== skipped);
  const cotangent = graph.input('cotangent', ['batch', 'sequence', 'features']);
  const wanted = [...inner.map((site) => site.output), { name: 'hidden' }];
  const gradients = backward(graph, new Map([[output, cotangent]]), wanted);
  graph.withdraw(output);
  const taps = [...new Set(sites.map(({ input }) => input.name))].map((name) => ({ name }));
  for (const [i, value] of [...gradients, ...taps].entries())
    graph.output(`tap_${i}`, value, ['batch', 'sequence', `features_${i}`]);
  return graph;
}

const weightsIn = (bindings) =>
  bindings.reduce((sum, { tensor }) => sum + (tensor.shape.length > 1 ? elementCount(tensor.shape) : 0), 0);

const BENCHES = {
  /** Forward and backward pass of one layer, and of the head without softmax. */
  async windows({ runtime, program }) {
    const { hiddenSize, vocabulary } = program.plan;
    const hidden = runtime.floats(normals(TOKENS * hiddenSize), [TOKENS / WINDOW, WINDOW, hiddenSize]);
    const bindings = program.layers[0];
    const feeds = {
      ...(await loadWeights(runtime, program, bindings)),
      ...positionFeeds(runtime, program, 0, WINDOW)(0),
      hidden,
    };
    const graphs = () => new LayerGraphs(program.plan, { length: WINDOW }).of(0);
    const forward = await runtime.session(graphs().encode());
    const back = await runtime.session(addTaps(graphs(), 'hidden_out').encode());
    const units = TOKENS * weightsIn(bindings);
    const note = `layer of ${weightsIn(bindings)} weights, ${TOKENS} tokens`;
    report('forward', 'token and weight', await processorSeconds(() => forward.run(feeds)), units, note);
    const seconds = await processorSeconds(() => back.run({ ...feeds, cotangent: hidden }));
    report('backward', 'token and weight', seconds, units, note);
    await Promise.all([forward.release(), back.release()]);

    const rows = 128;
    const matrix = program.head.weights.findLast(({ tensor }) => tensor.shape.length === 2).input;
    const given = {
      ...(await loadWeights(runtime, program, program.head.weights)),
      hidden: runtime.floats(normals(rows * hiddenSize), [1, rows, hiddenSize]),
    };
    const head = await runtime.session(headGraph(program.plan).encode());
    const headBack = await runtime.session(addTaps(headGraph(program.plan), 'logits', matrix).encode());
    const cotangent = runtime.floats(new Float32Array(rows * vocabulary), [1, rows, vocabulary]);
    const headSeconds = await processorSeconds(async () => {
      await head.run(given);
      await headBack.run({ ...given, cotangent });
    });
    report('head', 'token and weight', headSeconds, rows * weightsIn(program.head.weights), `${rows} tokens`);
    await Promise.all([head.release(), headBack.release()]);
  },

  /** Labels and gradients from logits, and the divergence of two rows of logits. */
  async logits() {
    const [rows, vocabulary] = [64, 50257];
    const logits = normals(rows * vocabulary, 2);
    const weights = new Float64Array(vocabulary);
    const random = randomNumbers(SEED);
    const sample = () => sampleGradients(logits.slice(), vocabulary, random, weights);
    report('sample', 'logit', await processorSeconds(sample), rows * vocabulary, `${rows} x ${vocabulary}`);
    const others = logits.map((value) => value * 1.01);
    const score = () => {
      for (let start = 0; start < logits.length; start += vocabulary) {
        const [ours, theirs] = [logits, others].map((all) => predict(all, start, vocabulary, 5));
        const normalizers = { reference: theirs.logNormalizer, other: ours.logNormalizer };
        divergence(others, logits, start, vocabulary, normalizers);
      }
    };
    report('score', 'logit', await processorSeconds(score), rows * vocabulary, `${rows} x ${vocabulary}`);
  },

  /** Weights from bytes to float32. */
  async load({ runtime, program }) {
    const bindings = program.layers[0];
    const seconds = await processorSeconds(() => loadWeights(runtime, program, bindings));
    report('load', 'weight', seconds, weightsIn(bindings), program.model.tensors[0].dtype);
  },

  /** Sum over tokens of x x^T. */
  async moments({ runtime }) {
    for (const n of [2048, 4096, 8192]) {
      const g = new Graph('moments');
      const [x, before] = [g.input('x', [TOKENS, n]), g.input('before', [n, n])];
      g.output('after', g.operation('Gemm', [x, x, before], { transA: 1 }), [n, n]);
      const session = await runtime.session(g.encode());
      const feeds = { x: runtime.floats(normals(TOKENS * n), [TOKENS, n]), before: zeros(runtime, n) };
      const into = { after: zeros(runtime, n) };
      const seconds = await processorSeconds(() => session.run(feeds, into), 3);
      report('moments', 'token and n^2', seconds, TOKENS * n * n, `n = ${n}`);
      await session.release();
    }
  },

  /** Factorization of a second moment. */
  async factor({ runtime }) {
    const products = new Products(runtime);
    for (const n of [2048, 4096, 8192]) {
      const moments = await momentsOf(products, n);
      const run = () => factorize(products, moments.slice(), n, 0.03, 'bench');
      report('factor', 'n^3', await processorSeconds(run, n > 4096 ? 1 : 3), n ** 3, `n = ${n}`);
    }
  },

  /** Quantization of matrices without the factorization, fitted to a part per weight and one that grows with their sides; the coder of the indices. */
  async matrix({ runtime }) {
    const products = new Products(runtime);
    const jobs = new QuantizationJobs(runtime);
    let feed;
    for (const interact of [false, true]) {
      const points = [];
      for (const [rows, columns] of [
        [2048, 2048],
        [4096, 4096],
        [2048, 8192],
        [8192, 2048],
      ]) {
        const shape = `${rows} x ${columns}`;
        const { seconds, quantized } = await timedMatrix(jobs, products, rows, columns, interact);
        points.push({ rows, columns, seconds: seconds / (rows * columns) });
        report('quantize', 'weight', seconds, rows * columns, `${shape}, rows interact: ${interact}`);
        if (interact && rows * columns > 2 ** 23) await coder(jobs, quantized, { rows, columns }, shape);
      }
      feed ??= slopeOf(points.map(({ columns, seconds }) => ({ side: columns, seconds })));
      if (!interact) report('feed', 'weight and column', feed, 1, 'rows do not interact');
      const rest = points.map(({ rows, columns, seconds }) => ({
        side: rows,
        seconds: seconds - feed * columns,
      }));
      const push = interact ? slopeOf(rest) : 0;
      if (interact) report('push', 'weight and row', push, 1, 'rows interact');
      const trellis = median(rest.map(({ side, seconds }) => seconds - push * side));
      report('trellis', 'weight', trellis, 1, `rows interact: ${interact}`);
    }
  },

  /** SHA-256, and the comparison of decoded weights with the original's. */
  async digests({ program }) {
    const { model } = program;
    const bytes = new Uint8Array(2 ** 26).fill(7);
    const hash = () => createHash('sha256').update(bytes).digest();
    report('sha256', 'byte', await processorSeconds(hash), bytes.length, '64 MiB');
    const tensor = model.tensors.find(({ shape }) => shape.length > 1 && elementCount(shape) >= 2 ** 22);
    const elements = await model.readTensor(tensor.name);
    const changed = elements.slice();
    changed[0] ^= 1;
    const compare = async () => {
      const compared = new Comparison(model).tensor(tensor);
      await compared.add(changed, 0, true);
    };
    report('compare', 'weight', await processorSeconds(compare), elementCount(tensor.shape), tensor.dtype);
  },

  /** Lossless blocks. */
  async lossless({ program: { model } }) {
    const tensor = model.tensors.find(({ shape }) => shape.length > 1 && elementCount(shape) >= 2 ** 22);
    const { dtype, shape } = tensor;
    const elements = await model.readTensor(tensor.name);
    const width = DTYPE_BYTES[dtype];
    const run = () => {
      for (const block of blocksOf(dtype, shape))
        encodeBlock(
          losslessKernels(),
          elements.subarray(block.first * width, (block.first + block.count) * width),
          block,
        );
    };
    report('lossless', 'byte', await processorSeconds(run), elements.length, dtype);
  },
};

const zeros = (runtime, n) => runtime.floats(new Float32Array(n * n), [n, n]);

/** Returns the second moment of random vectors, [n, n]. */
async function momentsOf(products, n) {
  const count = 256;
  const vectors = normals(count * n, 1 / Math.sqrt(count));
  return products.transposedTimes(vectors, vectors, count, n, n);
}

/** Quantizes a matrix of normal weights. @returns its seconds without the factorization. */
async function timedMatrix(jobs, products, rows, columns, interact) {
  const rowMoments = interact ? await momentsOf(products, rows) : new Float32Array(rows).fill(1);
  const columnMoments = await momentsOf(products, columns);
  const weights = normals(rows * columns);
  const prices = initialPrices();
  let quantized;
  const whole = await processorSeconds(async () => {
    quantized = await jobs.quantize({
      name: 'bench',
      rows,
      columns,
      weights,
      rowMoments: { values: rowMoments.slice(), damping: DAMPING },
      columnMoments: { values: columnMoments.slice(), damping: DAMPING },
      step: 0.26,
      prices,
      shrinks: new Float32Array(CONTEXTS * 2 * 4),
      lambda: 0.1,
    });
  }, 1);
  const factoring = await processorSeconds(async () => {
    if (interact) await factorize(products, rowMoments.slice(), rows, DAMPING, 'bench');
    await factorize(products, columnMoments.slice(), columns, DAMPING, 'bench');
  }, 1);
  return { seconds: whole - factoring, quantized };
}

/** Returns the slope of a line through points, by least squares of relative errors. */
function slopeOf(points) {
  let [a, b, c, d, e] = [0, 0, 0, 0, 0];
  for (const { side, seconds } of points) {
    const weight = 1 / seconds ** 2;
    a += weight;
    b += weight * side;
    c += weight * side * side;
    d += weight * seconds;
    e += weight * seconds * side;
  }
  return (a * e - b * d) / (a * c - b * b);
}

/** Measures coding of indices, and prints the bits per weight, which both depend on. */
async function coder(jobs, { counts, ...quantized }, { rows, columns }, shape) {
  const tables = writeTables(Float64Array.from(counts), new Float32Array(CONTEXTS * 2 * 4));
  let payloads;
  const seconds = await processorSeconds(() => {
    payloads = jobs.encode({ quantized, tables });
  });
  const [parameters, ...blocks] = payloads;
  const bits = (8 * blocks.reduce((sum, { length }) => sum + length, 0)) / (rows * columns);
  const wide = quantized.indices.reduce((sum, index) => sum + (index < -127 || index > 127), 0);
  const note = `${shape}, ${bits.toFixed(2)} bits per weight, ${wide} indices of two bytes`;
  report('encode', 'weight', seconds, rows * columns, note);
  const decode = () => {
    for (const payload of blocks)
      decodeRows(
        payload,
        { dtype: 'BF16', first: 0, rows, columns, count: ROWS_PER_BLOCK * columns },
        { tables, parameters },
      );
  };
  report('decode', 'weight', await processorSeconds(decode), rows * columns, note);
}

async function main([path, ...names]) {
  if (path === undefined) throw new RangeError('usage: node bench/machines-rates.js MODEL_DIR [NAME ...]');
  console.log(`${machine()}, onnxruntime-node, one thread`);
  const runtime = await loadRuntime(1);
  const model = await openModel(path);
  try {
    const program = buildProgram(model);
    for (const [name, bench] of Object.entries(BENCHES))
      if (!names.length || names.includes(name)) await bench({ runtime, program });
  } finally {
    await model.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));
