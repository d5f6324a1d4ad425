// The lossless kernels alone, on one core, in memory: whole blocks, and the entropy coder within them.
import { fileURLToPath, pathToFileURL } from 'node:url';
import { table } from '../dist/cli/format.js';
import { blocksOf, decodeBlock, encodeBlock } from '../dist/codecs/lossless/block.js';
import { encodeSymbols, SymbolDecoder } from '../dist/codecs/lossless/stream.js';
import { DTYPE_BYTES, elementCount } from '../dist/core/dtype.js';
import { openModel } from '../dist/open/open.js';
import { LosslessKernels } from '../dist/wasm/lossless.js';
import { machine, time } from './measure.js';
import { DTYPES } from './synthetic/floats.js';
import { drawTensor } from './synthetic/tensor.js';
import { profilesOf } from './synthetic/trained.js';

const RUNS = 15;
const TENSOR = { name: 'transformer.h.0.attn.attention.q_proj.weight', shape: [2048, 2048] };

/** Sign and bits below the ones modeled are stored raw: the head is exponent and top 3 mantissa bits (docs/lossless.md). */
const HEAD_SYMBOLS = 2 ** 11;
const headOf = (bfloat16) => (bfloat16 >>> 4) & (HEAD_SYMBOLS - 1);

/** A matrix of GPT-Neo 1.3B's shape, or another, with weights that look trained, as f32. */
export async function drawValues(shape = TENSOR.shape) {
  const model = await openModel(fileURLToPath(new URL('../examples/gpt-neo-tiny', import.meta.url)));
  try {
    const values = new Float32Array(elementCount(shape));
    const like = { trained: profilesOf(model), seed: 1, layers: 1, conv1d: false };
    let filled = 0;
    for await (const chunk of drawTensor({ ...TENSOR, shape }, like)) {
      values.set(chunk, filled);
      filled += chunk.length;
    }
    return values;
  } finally {
    await model.close();
  }
}

/** Seconds to encode and to decode every block of a tensor, and the coded size. Decoding checks each block's digest. */
function timeBlocks(kernels, elements, dtype) {
  const width = DTYPE_BYTES[dtype];
  const blocks = [...blocksOf(dtype, TENSOR.shape)].map((block) => ({
    block,
    bytes: elements.subarray(block.first * width, (block.first + block.count) * width),
  }));
  const coded = blocks.map(({ block, bytes }) => encodeBlock(kernels, bytes, block));
  return {
    encode: time(RUNS, () => {
      for (const { block, bytes } of blocks) encodeBlock(kernels, bytes, block);
    }),
    decode: time(RUNS, () => {
      for (const [i, { block }] of blocks.entries()) decodeBlock(kernels, coded[i], block);
    }),
    codedBytes: coded.reduce((sum, payload) => sum + payload.length, 0),
  };
}

/** Seconds to encode and to decode the heads of one block, table included, and their number. */
function timeSymbols(kernels, bfloat16) {
  const { symbols, payload } = kernels.buffers;
  const [{ count }] = blocksOf('BF16', TENSOR.shape);
  const bins = new Uint32Array(HEAD_SYMBOLS);
  symbols.set(new Uint16Array(bfloat16.buffer, bfloat16.byteOffset, count).map(headOf));
  for (const symbol of symbols.subarray(0, count)) bins[symbol]++;
  const encode = time(RUNS, () => encodeSymbols(kernels, count, bins));
  const { table: head, stream } = encodeSymbols(kernels, count, bins);
  const coded = payload.subarray(0, head.length + stream.length);
  coded.set(stream, head.length);
  coded.set(head);
  const decode = time(RUNS, () => {
    const decoder = new SymbolDecoder(kernels, coded, HEAD_SYMBOLS);
    decoder.decode(count, 0, decoder.rest, () => {});
  });
  return { encode, decode, count };
}

/** Measures and prints. */
export async function benchKernels() {
  const kernels = new LosslessKernels();
  const values = await drawValues();
  const rows = Object.values(DTYPES).map(({ name, narrow }) => {
    const elements = narrow(values);
    const { encode, decode, codedBytes } = timeBlocks(kernels, elements, name);
    const rate = (seconds) => `${(elements.length / seconds / 1e9).toFixed(2)} GB/s`;
    return [name, rate(encode), rate(decode), `${((100 * codedBytes) / elements.length).toFixed(2)} %`];
  });
  const symbols = timeSymbols(kernels, DTYPES.bf16.narrow(values));
  const rate = (seconds) => `${Math.round(symbols.count / seconds / 1e6)} M/s`;
  console.log('\nKernels alone, one core, in memory (bytes of elements; decoding checks digests)\n');
  console.log(table(['', 'encode', 'decode', 'coded size'], rows));
  console.log(`\nentropy coder, symbols: encode ${rate(symbols.encode)}, decode ${rate(symbols.decode)}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  console.log(machine());
  await benchKernels();
}
