// Weights as other programs quantize them, training checkpoints, and integers with a structure: tensors of every kind whose lossless size matters.
// Gaussian, with a scale for every row and column; all from one seed.
import { toFloat16 } from '../../dist/core/float16.js';
import { GGML_GRIDS } from '../../dist/grids/ggml.js';
import { roundToGrids } from '../../dist/grids/round.js';
import { DTYPES } from './floats.js';
import { quantiles, Random } from './random.js';

/** Spread of the scales of rows and columns: standard deviation of their logarithm. */
const [ROW_SPREAD, COLUMN_SPREAD] = [0.25, 0.15];
const NORMAL = quantiles(normals(new Random('normal'), 1 << 20));

const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
/**
 * Returns a tensor. `codes`, where it is quantized: its symbols in the order of their groups, the size of these and of the alphabet, and the
 * number of symbols per row of the matrix.
 */
const tensor = (name, dtype, shape, data, codes) => ({ name, dtype, shape, data: bytesOf(data), codes });

function normals(random, count) {
  const uniform = new Float64Array(count + 1);
  random.fill(
    uniform,
    0,
    count + 1,
    Float64Array.from({ length: 65537 }, (_, i) => i / 65536),
  );
  return Float64Array.from(
    { length: count },
    (_, i) => Math.sqrt(-2 * Math.log(1 - uniform[i] + 1e-12)) * Math.cos(2 * Math.PI * uniform[i + 1]),
  );
}

/** Returns a drawing machine with its own stream. */
function drawer(seed) {
  const random = new Random(seed);
  const uniforms = Float64Array.from({ length: 65537 }, (_, i) => i / 65536);
  const one = new Float64Array(1);
  return {
    normal(count) {
      const out = new Float32Array(count);
      random.fill(out, 0, count, NORMAL);
      return out;
    },
    uniform() {
      random.fill(one, 0, 1, uniforms);
      return Math.min(one[0], 1 - 2 ** -32);
    },
  };
}

/** Returns a matrix [rows, columns] of normal values times 0.02, a scale of the row and one of the column. */
export function gaussianMatrix(seed, rows, columns, spread = 1) {
  const draw = drawer(seed);
  const scales = (count, deviation) => draw.normal(count).map((x) => Math.exp(deviation * spread * x));
  const [byRow, byColumn] = [scales(rows, ROW_SPREAD), scales(columns, COLUMN_SPREAD)];
  return draw.normal(rows * columns).map((x, i) => {
    return 0.02 * x * byRow[Math.floor(i / columns)] * byColumn[i % columns];
  });
}

/** Reduces every `group` neighbors. */
function groups(values, group, reduce) {
  return Float64Array.from({ length: values.length / group }, (_, i) =>
    reduce(values.subarray(i * group, (i + 1) * group)),
  );
}
const largest = (values) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
/** Rounds to nearest, ties to even. */
function even(x) {
  const below = Math.floor(x);
  return x - below === 0.5 ? below + (below % 2) : Math.round(x);
}

/** Returns the byte of an 8-bit float (E4M3FN, or E5M2) nearest to x. */
function float8(x, mantissa) {
  const [lowest, most] = mantissa === 3 ? [-6, 448] : [-14, 57344];
  const magnitude = Math.min(Math.abs(x), most);
  const exponent = Math.max(lowest, Math.floor(Math.log2(magnitude || 2 ** lowest)));
  const code = even(magnitude / 2 ** (exponent - mantissa)) + ((exponent - lowest) << mantissa);
  return code | (x < 0 ? 128 : 0);
}
function fromFloat8(code, mantissa) {
  const exponent = code >> mantissa;
  const below = code % 2 ** mantissa;
  const lowest = mantissa === 3 ? -6 : -14;
  const steps = exponent ? below + 2 ** mantissa : below;
  return steps * 2 ** (Math.max(exponent, 1) - 1 + lowest - mantissa);
}

const FLOAT4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
/** Returns the code of a 4-bit float (E2M1) nearest to x. */
function float4(x) {
  let code = 0;
  while (code < 7 && Math.abs(x) > (FLOAT4[code] + FLOAT4[code + 1]) / 2) code++;
  return code | (x < 0 ? 8 : 0);
}

/** Levels of bitsandbytes' NF4. */
const NF4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
  -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
  0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];
function normalFloat4(x) {
  let code = 0;
  while (code < 15 && x > (NF4[code] + NF4[code + 1]) / 2) code++;
  return code;
}

/** Packs codes of 4 bits, two to a byte, the first in the low half. */
const nibbles = (codes) =>
  Uint8Array.from({ length: codes.length / 2 }, (_, i) => codes[2 * i] | (codes[2 * i + 1] << 4));

/** Packs codes [rows, columns] of 4 bits in I32, eight neighbors in a column (GPTQ) or in a row (AWQ). */
function words(codes, columns, inColumn) {
  const out = new Int32Array(codes.length / 8);
  for (let i = 0; i < codes.length; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const at = inColumn ? (row >> 3) * columns + column : row * (columns / 8) + (column >> 3);
    out[at] |= codes[i] << (4 * ((inColumn ? row : column) & 7));
  }
  return out;
}

const halves = (values) => Uint16Array.from(values, toFloat16);

/** 8-bit floats of a matrix; `scaleOf(i)` divides value i. */
function fp8(seed, rows, columns, dtype, scales, shape, scaleOf) {
  const mantissa = dtype === 'F8_E4M3' ? 3 : 2;
  const values = gaussianMatrix(seed, rows, columns);
  const divisors = scales(values);
  const most = mantissa === 3 ? 448 : 57344;
  const codes = Uint8Array.from(values, (x, i) => float8((x * most) / divisors[scaleOf(i)], mantissa));
  return [
    tensor('weight', dtype, [rows, columns], codes, {
      symbols: codes,
      size: 256,
      row: columns,
      group: 0,
      mantissa,
    }),
    tensor(
      'weight_scale',
      'F32',
      shape,
      Float32Array.from(divisors, (x) => x / most),
    ),
  ];
}

/** Largest magnitudes of tiles of 128 x 128. */
function tiles(values, rows, columns) {
  const across = columns / 128;
  const out = new Float64Array((rows / 128) * across);
  values.forEach((x, i) => {
    const at = Math.floor(i / columns / 128) * across + Math.floor((i % columns) / 128);
    out[at] = Math.max(out[at], Math.abs(x));
  });
  return out;
}

/** Symmetric integers with a scale for each row; codes are added to `middle`. */
function perRow(seed, rows, columns, most, middle = 0) {
  const values = gaussianMatrix(seed, rows, columns);
  const scales = groups(values, columns, largest).map((x) => x / most);
  const codes = Int8Array.from(values, (x, i) => even(x / scales[Math.floor(i / columns)]) + middle);
  return { codes, scales: tensor('weight_scale', 'F16', [rows, 1], halves(scales)) };
}

/** Weights as GPTQ and AWQ have them, [inputs, outputs], with groups of 128 inputs. */
function int4(seed, inputs, outputs, { symmetric, inColumn }) {
  const group = 128;
  const values = gaussianMatrix(seed, inputs, outputs);
  const count = inputs / group;
  const scales = new Float64Array(count * outputs);
  const zeros = new Uint8Array(count * outputs).fill(8);
  const codes = new Uint8Array(values.length);
  for (let g = 0; g < count; g++)
    for (let column = 0; column < outputs; column++) {
      let [low, high] = [0, 0];
      for (let row = g * group; row < (g + 1) * group; row++) {
        low = Math.min(low, values[row * outputs + column]);
        high = Math.max(high, values[row * outputs + column]);
      }
      const at = g * outputs + column;
      scales[at] = symmetric ? Math.max(-low, high) / 7 : (high - low) / 15;
      if (!symmetric) zeros[at] = Math.round(-low / scales[at]);
      for (let row = g * group; row < (g + 1) * group; row++) {
        const code = even(values[row * outputs + column] / scales[at]) + zeros[at];
        codes[row * outputs + column] = clamp(code, 0, 15);
      }
    }
  const grouped = Uint8Array.from(codes, (_, i) => codes[(i % inputs) * outputs + Math.floor(i / inputs)]);
  return [
    tensor(
      'qweight',
      'I32',
      inColumn ? [inputs / 8, outputs] : [inputs, outputs / 8],
      words(codes, outputs, inColumn),
      { symbols: grouped, size: 16, row: inputs, group },
    ),
    tensor('qzeros', 'I32', [count, outputs / 8], words(zeros, outputs, false)),
    tensor('scales', 'F16', [count, outputs], halves(scales)),
    ...(inColumn
      ? [
          tensor(
            'g_idx',
            'I32',
            [inputs],
            Int32Array.from({ length: inputs }, (_, i) => Math.floor(i / group)),
          ),
        ]
      : []),
  ];
}

function mxfp4(seed, rows, columns) {
  const values = gaussianMatrix(seed, rows, columns);
  const exponents = groups(values, 32, largest).map((x) => Math.floor(Math.log2(x)) - 2);
  const codes = Uint8Array.from(values, (x, i) => float4(x / 2 ** exponents[i >> 5]));
  return [
    tensor('blocks', 'U8', [rows, columns / 32, 16], nibbles(codes), {
      symbols: codes,
      size: 16,
      row: columns,
      group: 32,
    }),
    tensor(
      'scales',
      'U8',
      [rows, columns / 32],
      Uint8Array.from(exponents, (x) => x + 127),
    ),
  ];
}

function nvfp4(seed, rows, columns) {
  const values = gaussianMatrix(seed, rows, columns);
  const peaks = groups(values, 16, largest);
  const unit = largest(peaks) / 6 / 448;
  const scales = Uint8Array.from(peaks, (x) => float8(x / 6 / unit, 3));
  const codes = Uint8Array.from(values, (x, i) => float4(x / (fromFloat8(scales[i >> 4], 3) * unit)));
  return [
    tensor('weight', 'U8', [rows, columns / 2], nibbles(codes), {
      symbols: codes,
      size: 16,
      row: columns,
      group: 16,
    }),
    tensor('weight_scale', 'F8_E4M3', [rows, columns / 16], scales),
    tensor('weight_scale_2', 'F32', [], Float32Array.of(unit)),
  ];
}

/** @param nested the largest magnitudes as bytes, whose own are f32. */
function nf4(seed, rows, columns, nested) {
  const values = gaussianMatrix(seed, rows, columns);
  const peaks = groups(values, 64, largest);
  const codes = Uint8Array.from(values, (x, i) => normalFloat4(x / peaks[i >> 6]));
  const own = { symbols: codes, size: 16, row: columns, group: 64 };
  const weight = tensor('weight', 'U8', [(rows * columns) / 2, 1], nibbles(codes), own);
  if (!nested) return [weight, tensor('weight.absmax', 'F32', [peaks.length], Float32Array.from(peaks))];
  const mean = peaks.reduce((sum, x) => sum + x, 0) / peaks.length;
  const rest = peaks.map((x) => x - mean);
  const peaksOfPeaks = groups(rest, 256, largest);
  const bytes = Uint8Array.from(rest, (x, i) =>
    clamp(Math.round((x / peaksOfPeaks[i >> 8]) * 127) + 128, 0, 255),
  );
  return [
    weight,
    tensor('weight.absmax', 'U8', [peaks.length], bytes),
    tensor('weight.peaksOfPeaksabsmax', 'F32', [peaksOfPeaks.length], Float32Array.from(peaksOfPeaks)),
  ];
}

/** A matrix in a type of ggml: rows of bytes, one per block. */
function ggml(seed, rows, columns, name) {
  const { format, pack } = GGML_GRIDS[name];
  const data = pack(roundToGrids(name, gaussianMatrix(seed, rows, columns), rows, columns, format));
  const bytes = data.length / ((rows * columns) / format.block);
  return [tensor('weight', 'U8', [data.length / bytes, bytes], data)];
}

/** Low-rank adapters in f32: A uniform as initialized and trained a little, B small. */
function lora(seed, inputs, rank) {
  const draw = drawer(seed);
  const bound = 1 / Math.sqrt(inputs);
  const a = draw.normal(rank * inputs).map((x) => (2 * draw.uniform() - 1) * bound + 1e-4 * x);
  return [
    tensor('lora_A.weight', 'F32', [rank, inputs], a),
    tensor(
      'lora_B.weight',
      'F32',
      [inputs, rank],
      gaussianMatrix(`${seed}/B`, inputs, rank).map((x) => x / 10),
    ),
  ];
}

/** States of Adam: a moving mean of gradients, and one of their squares, whose scales differ more than those of weights. */
function adam(seed, rows, columns) {
  const mean = gaussianMatrix(`${seed}/m`, rows, columns, 4).map((x) => x * 1e-3);
  const noise = drawer(`${seed}/v`).normal(rows * columns);
  const squares = mean.map((x, i) => x * x * 5 + (1e-6 * noise[i]) ** 2);
  return [
    tensor('exp_avg', 'F32', [rows, columns], mean),
    tensor('exp_avg_sq', 'F32', [rows, columns], squares),
    tensor('step', 'F32', [], Float32Array.of(1000)),
  ];
}

/** f32 that is bf16 but for a few elements, or with a few huge ones. */
function outliers(seed, rows, columns, widened) {
  const values = gaussianMatrix(seed, rows, columns);
  const data = Float32Array.from(values);
  const odd = drawer(`${seed}/odd`);
  if (widened) {
    const bits = new Uint32Array(data.buffer);
    for (let i = 0; i < bits.length; i++) bits[i] &= 0xffff0000;
  }
  for (let i = 0; i < data.length; i += 100_000)
    data[Math.floor(odd.uniform() * data.length)] = values[i] * 1e4 + 1e-7;
  return [tensor('weight', 'F32', [rows, columns], data)];
}

const i64 = (name, values) => tensor(name, 'I64', [values.length], BigInt64Array.from(values, BigInt));

function tokens(seed, count) {
  const draw = drawer(seed);
  return [
    i64(
      'input_ids',
      Array.from({ length: count }, () => Math.floor(50_000 ** draw.uniform() - 1)),
    ),
  ];
}
function sortedIndices(seed, count) {
  const draw = drawer(seed);
  let next = 0;
  return [
    i64(
      'indices',
      Array.from({ length: count }, () => (next += Math.floor(40 * draw.uniform()))),
    ),
  ];
}
function permutation(seed, count) {
  const draw = drawer(seed);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(draw.uniform() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return [tensor('perm', 'I32', [count], order)];
}
const repeats = (count, group) => [
  tensor(
    'g_idx',
    'I32',
    [count],
    Int32Array.from({ length: count }, (_, i) => Math.floor(i / group)),
  ),
];
const tiled = (rows, columns) => [
  tensor(
    'position_ids',
    'I64',
    [rows, columns],
    BigInt64Array.from({ length: rows * columns }, (_, i) => BigInt(i % columns)),
  ),
];

const plain = (seed, rows, columns, dtype) => [
  tensor(
    'weight',
    DTYPES[dtype].name,
    [rows, columns],
    DTYPES[dtype].narrow(gaussianMatrix(seed, rows, columns)),
  ),
];

/** By name: the tensors of a checkpoint of about rows x columns weights, both multiples of 256. */
export const PACKED = {
  BF16: (r, c) => plain('bf16', r, c, 'bf16'),
  F16: (r, c) => plain('f16', r, c, 'f16'),
  F32: (r, c) => plain('f32', r, c, 'f32'),
  'F32 of BF16, but for a few': (r, c) => outliers('widened', r, c, true),
  'F32 with a few huge ones': (r, c) => outliers('huge', r, c, false),
  'FP8 E4M3, scale per row': (r, c) =>
    fp8(
      'e4m3',
      r,
      c,
      'F8_E4M3',
      (v) => groups(v, c, largest),
      [r, 1],
      (i) => Math.floor(i / c),
    ),
  'FP8 E4M3, scale per tensor': (r, c) =>
    fp8(
      'e4m3t',
      r,
      c,
      'F8_E4M3',
      (v) => [largest(v)],
      [],
      () => 0,
    ),
  'FP8 E4M3, scale per 128 x 128': (r, c) =>
    fp8(
      'e4m3b',
      r,
      c,
      'F8_E4M3',
      (v) => tiles(v, r, c),
      [r / 128, c / 128],
      (i) => Math.floor(i / c / 128) * (c / 128) + Math.floor((i % c) / 128),
    ),
  'FP8 E5M2, scale per row': (r, c) =>
    fp8(
      'e5m2',
      r,
      c,
      'F8_E5M2',
      (v) => groups(v, c, largest),
      [r, 1],
      (i) => Math.floor(i / c),
    ),
  'INT8, scale per row': (r, c) => {
    const { codes, scales } = perRow('int8', r, c, 127);
    const symbols = Uint8Array.from(codes, (code) => code + 128);
    return [tensor('weight', 'I8', [r, c], codes, { symbols, size: 256, row: c, group: 0 }), scales];
  },
  'INT4, scale per row': (r, c) => {
    const { codes, scales } = perRow('int4', r, c, 7, 8);
    const symbols = Uint8Array.from(codes);
    return [
      tensor('weight', 'U8', [r, c / 2], nibbles(codes), { symbols, size: 16, row: c, group: 0 }),
      scales,
    ];
  },
  'GPTQ, symmetric, groups of 128': (r, c) => int4('gptq-s', r, c, { symmetric: true, inColumn: true }),
  'GPTQ, asymmetric, groups of 128': (r, c) => int4('gptq', r, c, { symmetric: false, inColumn: true }),
  'AWQ, asymmetric, groups of 128': (r, c) => int4('awq', r, c, { symmetric: false, inColumn: false }),
  NF4: (r, c) => nf4('nf4', r, c, false),
  'NF4, nested': (r, c) => nf4('nf4n', r, c, true),
  MXFP4: (r, c) => mxfp4('mxfp4', r, c),
  NVFP4: (r, c) => nvfp4('nvfp4', r, c),
  ...Object.fromEntries(
    Object.keys(GGML_GRIDS).map((name) => [`GGUF ${name}`, (r, c) => ggml(name, r, c, name)]),
  ),
  'LoRA, F32': (r, c) => lora('lora', (r * c) / 32, 16),
  'Adam, F32': (r, c) => adam('adam', r, c / 2),
  'token ids, I64': (r, c) => tokens('tokens', (r * c) / 8),
  'sorted indices, I64': (r, c) => sortedIndices('sorted', (r * c) / 8),
  'permutation, I32': (r, c) => permutation('permutation', (r * c) / 64),
  'i div 128, I32': (r, c) => repeats((r * c) / 4, 128),
  'rows of positions, I64': (r, c) => tiled(r / 4, c),
};

/** By name: how integers came about, where that says more than their values do. */
export const STRUCTURE = {
  'token ids, I64': 'values',
  'sorted indices, I64': 'differences',
  'permutation, I32': 'permutation',
  'i div 128, I32': 'by index',
  'rows of positions, I64': 'by index',
};
