// The lossy codec's entropy coder alone, on one core, in memory: blocks of indices to bytes and back, and to values.
import { pathToFileURL } from 'node:url';
import { table } from '../dist/cli/format.js';
import { decodeBlock, encodeBlock } from '../dist/codecs/trellis/block.js';
import { CONTEXTS, MAX_INDEX, NEXT_STATE, ROWS_PER_BLOCK } from '../dist/codecs/trellis/levels.js';
import { readTables, writeTables } from '../dist/codecs/trellis/tables.js';
import { INDICES } from '../dist/codecs/trellis/tokens.js';
import { IndexCoder } from '../dist/wasm/indices.js';
import { machine, time } from './measure.js';

const RUNS = 15;
const COLUMNS = 2048;
const SEED = 1;

/** Typical magnitudes of weights, in steps; contexts are spread over an octave and a half around them. */
const SIGMAS = [0.5, 1, 2, 4];

function uniform(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
}

/** Returns a block of Gaussian weights, rounded by the quantizer of each state, and the counts of its indices. */
function drawBlock(sigma) {
  const random = uniform(SEED);
  const spread = () => Math.round((random() - 0.5) * 6);
  const middle = 24 + Math.round(4 * Math.log2(sigma));
  const rows = {
    steps: new Int16Array(ROWS_PER_BLOCK).map(spread),
    contexts: new Int16Array(ROWS_PER_BLOCK).map(spread),
  };
  const columns = {
    steps: new Int16Array(COLUMNS).map(spread),
    contexts: new Int16Array(COLUMNS).map(spread).map((c) => c + middle),
  };
  const indices = new Int16Array(ROWS_PER_BLOCK * COLUMNS);
  const counts = new Float64Array(CONTEXTS * 2 * INDICES);
  const states = new Uint8Array(COLUMNS);
  for (let place = 0; place < indices.length; place++) {
    const j = place % COLUMNS;
    const context = Math.min(
      CONTEXTS - 1,
      Math.max(0, rows.contexts[Math.floor(place / COLUMNS)] + columns.contexts[j]),
    );
    const gaussian = Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
    const steps = gaussian * 2 ** ((context - 24) / 4);
    const quantizer = states[j] & 1;
    const k = Math.round((steps + quantizer * Math.sign(steps)) / 2) || 0;
    indices[place] = k;
    counts[(context * 2 + quantizer) * INDICES + k + MAX_INDEX]++;
    states[j] = NEXT_STATE[states[j]][k & 1];
  }
  return { rows, columns, indices, counts };
}

/** Measures and prints. */
export function benchIndices() {
  const coder = new IndexCoder();
  const lines = SIGMAS.map((sigma) => {
    const { rows, columns, indices, counts } = drawBlock(sigma);
    const parameters = { scale: 1, rowFactorRange: 0, columnFactorRange: 0, columns };
    const tables = readTables(writeTables(counts, new Float32Array(CONTEXTS * 2 * 4)));
    const encode = () => encodeBlock(coder, tables, parameters, { rows, indices });
    const bytes = encode();
    const rate = (call) => `${Math.round(indices.length / time(RUNS, call) / 1e6)} M/s`;
    const decoded = ['F32', 'F16', 'BF16'].map((kind) =>
      rate(() => decodeBlock(coder, tables, parameters, bytes, ROWS_PER_BLOCK, kind)),
    );
    return [`${sigma}`, ((8 * bytes.length) / indices.length).toFixed(2), rate(encode), ...decoded];
  });
  console.log(
    `\nLossy blocks of ${ROWS_PER_BLOCK} x ${COLUMNS}, one core, in memory, millions of weights per second (medians of ${RUNS})\n`,
  );
  console.log(table(['sigma, steps', 'bits per weight', 'encode', 'to F32', 'to F16', 'to BF16'], lines));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  console.log(machine());
  benchIndices();
}
